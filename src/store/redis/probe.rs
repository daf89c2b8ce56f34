//! Trying a Redis out.

use redis::{RedisError, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::Server;

impl Server {
    /// A connection of its own, on which the server has answered.
    pub(in crate::store) async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let mut wire = self.reach.connect().await?;
        let ping = redis::cmd("PING");
        let answer: Result<Result<(), RedisError>, _> = timeout(self.timeout, ping.query_async(&mut wire)).await;
        match answer {
            Ok(answer) => answer.map(|()| wire).map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}
