//! Every path that a source file names, with its line: `use` trees to their leaves, inline
//! paths, attributes and derives, and what looks like a path inside of macros.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, UseTree};

/// A path as it is written, resolved as far as the file alone can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// `crate::` paths start with `crate`; anything else starts with what may be a crate.
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// Inside of `#[cfg(test)]`.
    pub(crate) test: bool,
}

/// Reads a source. `module` is where it stands, e.g. `["store", "redis"]`.
pub(crate) fn names_in(source: &str, module: &[String]) -> syn::Result<Vec<Name>> {
    let file = syn::parse_file(source)?;
    let mut reader = Reader { module: module.to_vec(), test: false, local: vec![], names: vec![] };
    reader.items(&file.items, &file.attrs);
    Ok(reader.names)
}

struct Reader {
    module: Vec<String>,
    test: bool,
    /// Names that a module declares or imports: a path may start with them.
    local: Vec<Vec<String>>,
    names: Vec<Name>,
}

impl Reader {
    fn items(&mut self, items: &[Item], attributes: &[Attribute]) {
        self.local.push(items.iter().flat_map(declared_by).collect());
        for attribute in attributes {
            self.visit_attribute(attribute);
        }
        for item in items {
            self.visit_item(item);
        }
        self.local.pop();
    }

    /// Takes a path up. `anchored` paths (`::x`) name a crate whatever the file declares.
    fn take(&mut self, mut path: Vec<String>, anchored: bool, span: Span) {
        let Some(first) = path.first().cloned() else { return };
        let local = self.local.last().is_some_and(|local| local.contains(&first));
        match first.as_str() {
            "self" | "super" => {
                let mut base = self.module.clone();
                while let Some(word @ ("self" | "super")) = path.first().map(String::as_str) {
                    if word == "super" {
                        base.pop();
                    }
                    path.remove(0);
                }
                path = [vec!["crate".to_owned()], base, path].concat();
            }
            // The binary sees the library by its name.
            "tiebreak" => "crate".clone_into(&mut path[0]),
            "crate" | "std" | "core" | "alloc" | "Self" => {}
            _ if local && !anchored => return,
            _ => {}
        }
        self.names.push(Name { segments: path, line: span.start().line, test: self.test });
    }

    fn tree(&mut self, tree: &UseTree, prefix: &[String], anchored: bool) {
        let with = |ident: &proc_macro2::Ident| [prefix, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident), anchored),
            UseTree::Name(name) => self.take(with(&name.ident), anchored, name.ident.span()),
            UseTree::Rename(name) => self.take(with(&name.ident), anchored, name.ident.span()),
            UseTree::Glob(glob) => {
                let path = [prefix, &["*".to_owned()]].concat();
                self.take(path, anchored, glob.star_token.spans[0]);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, prefix, anchored);
                }
            }
        }
    }

    /// Runs of `ident :: ident ...`, which is all that a macro's input shows without its grammar.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut span = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 || path.is_empty() {
                        self.take_run(&mut path, span);
                        span = ident.span();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.take_run(&mut path, span);
                    colons = 0;
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.take_run(&mut path, span);
                    colons = 0;
                }
            }
        }
        self.take_run(&mut path, span);
    }

    fn take_run(&mut self, path: &mut Vec<String>, span: Span) {
        let run = std::mem::take(path);
        if run.len() > 1 {
            self.take(run, false, span);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let outside = self.test;
        self.test |= attributes_of(item).iter().any(is_cfg_test);
        visit::visit_item(self, item);
        self.test = outside;
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        for attribute in &module.attrs {
            self.visit_attribute(attribute);
        }
        if let Some((_, items)) = &module.content {
            self.module.push(module.ident.to_string());
            self.items(items, &[]);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &[], item.leading_colon.is_some());
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.take(vec![item.ident.to_string()], true, item.ident.span());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if let (Some(first), true) = (path.segments.first(), segments.len() > 1) {
            self.take(segments, path.leading_colon.is_some(), first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}

/// Names that an item brings into its module and that a later path may start with.
fn declared_by(item: &Item) -> Vec<String> {
    match item {
        Item::Mod(module) => vec![module.ident.to_string()],
        Item::Enum(item) => vec![item.ident.to_string()],
        Item::Struct(item) => vec![item.ident.to_string()],
        Item::Trait(item) => vec![item.ident.to_string()],
        Item::Type(item) => vec![item.ident.to_string()],
        Item::Use(item) => leaves(&item.tree, ""),
        _ => vec![],
    }
}

/// What a `use` brings into scope. A crate imported under its own name stays external.
fn leaves(tree: &UseTree, parent: &str) -> Vec<String> {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &path.ident.to_string()),
        UseTree::Name(name) if name.ident == "self" => vec![parent.to_owned()],
        UseTree::Name(name) if !parent.is_empty() => vec![name.ident.to_string()],
        UseTree::Rename(name) => vec![name.rename.to_string()],
        UseTree::Group(group) => group.items.iter().flat_map(|tree| leaves(tree, parent)).collect(),
        _ => vec![],
    }
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    matches!(&attribute.meta, Meta::List(list)
        if list.path.is_ident("cfg") && list.tokens.to_string() == "test")
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => &[],
    }
}
