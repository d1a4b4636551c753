//! Futures in boxes, as traits that are used through `dyn` need them.

use std::future::Future;
use std::pin::Pin;

pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
