//! The description of the API (OpenAPI 3.1), made from [`crate::ROUTES`].

/// The description.
pub fn document() -> serde_json::Value {
    serde_json::json!({})
}
