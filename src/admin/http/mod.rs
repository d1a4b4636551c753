//! Requests as the handlers see them, and answers: JSON, a stream of JSON lines, or a problem (RFC
//! 9457).

pub mod params;
pub mod problem;
pub mod request;
pub mod response;
