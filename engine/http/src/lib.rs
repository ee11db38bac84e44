//! HTTP of every program: RFC 9457 problem details, and admin routes for health, readiness and metrics.

pub mod admin;
pub mod problem;
pub mod serve;
