//! HTTP of every program: RFC 9457 problem details, the `OpenAPI` document, and admin routes for health, readiness and
//! metrics.

pub mod admin;
pub mod openapi;
pub mod problem;
pub mod serve;
