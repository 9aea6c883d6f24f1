//! The way of a command to the Redis that holds its keys.

use redis::aio::ConnectionManager;
use redis::{Cmd, FromRedisValue, RedisError};

/// The way to the keys of one tag, for the commands of one call.
pub(super) enum Way {
    /// There is one Redis.
    Direct(ConnectionManager),
}

impl Way {
    pub(super) async fn send<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Self::Direct(connection) => command.query_async(connection).await,
        }
    }
}
