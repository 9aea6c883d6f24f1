#!/usr/bin/env python3
"""Writes the bucketing vectors beside this file: hashes.json, two_arm.json, arms.json, SHA256SUMS.

Standard library only, and nothing of Tiebreak: the hash is hashlib's, the rules are those that
SOURCE.md states in words. Running it again must change no byte.
"""
import hashlib
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUCKETS = 10_000

UNITS = [
    ("plain", "user_1"),
    ("one byte", "0"),
    ("UUID", "550e8400-e29b-41d4-a716-446655440000"),
    ("e-mail address", "user@example.com"),
    ("holds the separator", "tenant:7:user:99"),
    ("separator first", ":user"),
    ("separator last", "user:"),
    ("only separators", ":::"),
    ("slashes", "tenant/7/user/99"),
    ("looks like another input", "/group:user_1"),
    ("inner and outer blanks are kept", " user  1 "),
    ("line feed and tab", "user\n\t1"),
    ("NUL", "user\u00001"),
    ("case matters", "USER_1"),
    ("two-byte characters", "M\u00fcller"),
    ("composed and decomposed differ: composed", "caf\u00e9"),
    ("composed and decomposed differ: decomposed", "cafe\u0301"),
    ("CJK", "\u7528\u6237_1"),
    ("right to left", "\u0645\u0633\u062a\u062e\u062f\u0645"),
    ("outside the BMP", "\U0001d4b0\U0001f600"),
    ("joined emoji", "\U0001f469\u200d\U0001f4bb"),
    ("byte order mark is kept", "\ufeffuser_1"),
    ("256 bytes, the longest", "x" * 256),
    ("256 bytes of two-byte characters", "\u00fc" * 128),
    ("20 digits, beyond 64 bits", "12345678901234567890"),
]
SALTS = ["support-bot-v2", "a", "e" * 63, "a:b.c", "Caf\u00e9 test", "s" * 128]
LAYERS = ["checkout", "l_1", "x" * 63]
GROUPS = [64, 1_024, 16_384]

# Weights in declaration order, basis points, and the index of the control.
SPLITS = [
    ("two arms, 20 %", [8_000, 2_000], 0),
    ("two arms, control declared last", [2_000, 8_000], 1),
    ("two arms, 50 %", [5_000, 5_000], 0),
    ("two arms, 57 %", [4_300, 5_700], 0),
    ("nobody is treated", [10_000, 0], 0),
    ("one bucket, 0.01 %", [9_999, 1], 0),
    ("all but one bucket, 99.99 %", [1, 9_999], 0),
    ("everybody is treated", [0, 10_000], 0),
    ("three arms", [3_334, 3_333, 3_333], 0),
    ("three arms, control in the middle", [2_500, 5_000, 2_500], 1),
    ("three arms, one of them empty", [5_000, 0, 5_000], 0),
    ("four arms", [4_000, 3_000, 2_000, 1_000], 0),
    ("four arms, control last", [1, 57, 2_000, 7_942], 3),
    ("five arms", [2_000] * 5, 2),
    ("six arms", [1_670, 1_666, 1_666, 1_666, 1_666, 1_666], 0),
    ("seven arms", [1_432, 1_428, 1_428, 1_428, 1_428, 1_428, 1_428], 0),
    ("eight arms", [1_250] * 8, 0),
    ("eight arms, control last", [1, 2, 3, 4, 1_990, 2_000, 3_000, 3_000], 7),
]
SHARES = [0.0, 0.0001, 0.2, 0.5, 0.57, 0.9999, 1.0]


def digest(text):
    md5 = hashlib.md5(text.encode("utf-8")).hexdigest()
    return md5, int(md5, 16)


def hashed(text, modulus=BUCKETS):
    md5, number = digest(text)
    return {"input": text, "md5_hex": md5, "hash_dec": str(number), "remainder": number % modulus}


def hashes():
    """Every hash of the service with its own input: split, enrolment, group, layer."""
    vectors = []

    def add(kind, salt, purpose, unit, text, modulus):
        vectors.append({
            "id": f"{kind}-{len(vectors):03d}", "kind": kind, "purpose": purpose, "salt": salt,
            "unit": unit, "modulus": modulus, **hashed(text, modulus),
        })

    for purpose, unit in UNITS:
        for salt in SALTS if purpose in ("plain", "holds the separator") else SALTS[:1]:
            add("split", salt, purpose, unit, f"{salt}:{unit}", BUCKETS)
            add("enrolment", salt, purpose, unit, f"{salt}/enrolment:{unit}", BUCKETS)
            for groups in GROUPS:
                add("group", salt, purpose, unit, f"{salt}/group:{unit}", groups)
        for layer in LAYERS:
            add("layer", layer, purpose, unit, f"{layer}/layer:{unit}", BUCKETS)
    return vectors


def units_in(salt, wanted):
    """For each bucket wanted, the first unit u0, u1, ... that falls into it."""
    missing, found, number = set(wanted), {}, 0
    while missing:
        unit = f"u{number}"
        bucket = digest(f"{salt}:{unit}")[1] % BUCKETS
        if bucket in missing:
            missing.remove(bucket)
            found[bucket] = unit
        number += 1
    return [found[bucket] for bucket in wanted]


def two_arm():
    """The classic rule: treatment when bucket / 10000 < share, in binary64."""
    salt, vectors = "two-arm", []
    edges = sorted({0, 1, BUCKETS - 1} | {
        bucket for share in SHARES for edge in [round(share * BUCKETS)]
        for bucket in (edge - 1, edge, edge + 1) if 0 <= bucket < BUCKETS
    })
    units = units_in(salt, edges) + [unit for _, unit in UNITS]
    for share in SHARES:
        treated = sum(bucket / BUCKETS < share for bucket in range(BUCKETS))
        assert treated == round(share * BUCKETS), share
        for unit in units:
            vector = hashed(f"{salt}:{unit}")
            normalized = vector["remainder"] / BUCKETS
            vectors.append({
                "id": f"two-arm-{len(vectors):03d}", "salt": salt, "unit": unit, "share": share,
                "treatment_weight": round(share * BUCKETS), **vector, "normalized": normalized,
                "variant": "treatment" if normalized < share else "control",
            })
    return vectors


def ranges_of(weights, control):
    """Treatments from bucket 0 in the order declared; control owns what is left."""
    ranges, start = [None] * len(weights), 0
    for variant, weight in enumerate(weights):
        if variant != control:
            ranges[variant], start = [start, start + weight], start + weight
    ranges[control] = [start, BUCKETS]
    assert start + weights[control] == BUCKETS, weights
    return ranges


def arms():
    """Two to eight arms: the ranges, and units on both sides of every boundary."""
    vectors = []
    for number, (purpose, weights, control) in enumerate(SPLITS):
        salt = f"arms-{number}"
        ranges = ranges_of(weights, control)
        edges = sorted({
            bucket for bounds in ranges for edge in bounds
            for bucket in (edge - 1, edge) if 0 <= bucket < BUCKETS
        })
        assigned = []
        for unit in units_in(salt, edges) + [unit for _, unit in UNITS]:
            vector = hashed(f"{salt}:{unit}")
            bucket = vector["remainder"]
            owner = [variant for variant, (low, high) in enumerate(ranges) if low <= bucket < high]
            assert len(owner) == 1
            assigned.append({"unit": unit, **vector, "variant": owner[0]})
        vectors.append({
            "id": f"arms-{number:02d}", "purpose": purpose, "salt": salt, "weights": weights,
            "control": control, "ranges": ranges, "units": assigned,
        })
    return vectors


def write(name, vectors):
    text = json.dumps({"vectors": vectors}, indent=1, ensure_ascii=True)
    (HERE / name).write_text(text + "\n", encoding="ascii")


def main():
    write("hashes.json", hashes())
    write("two_arm.json", two_arm())
    write("arms.json", arms())
    names = ["SOURCE.md", "arms.json", "classic.json", "generate.py", "hashes.json", "two_arm.json"]
    sums = [f"{hashlib.sha256((HERE / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (HERE / "SHA256SUMS").write_text("".join(sums), encoding="ascii")


if __name__ == "__main__":
    main()
