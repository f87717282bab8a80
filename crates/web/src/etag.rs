//! ETag and If-None-Match: whoever has what would be answered gets 304 and no body. This stands outside of everything
//! else, so what was asked is decided, read and recorded as ever: a 304 is an access too.
//!
//! A tag is keyed and belongs to one reader and one address, so that nobody learns from a tag of somebody else whether
//! two people were shown the same (T-35).

use crate::caller::peer_of;
use crate::record::LoggedInAs;
use crate::{App, Problem};
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kiban_service::Platform;

/// A read that may be answered with a tag.
pub(crate) struct Read {
    platform: Platform,
    address: String,
    certificate: String,
    staff: LoggedInAs,
    known: Vec<HeaderValue>,
}

impl Read {
    /// Of a request, if it is a GET. Asked after the recorder, which notes who is logged in.
    pub(crate) fn of(app: &App, request: &Request) -> Option<Self> {
        if *request.method() != Method::GET {
            return None;
        }
        Some(Self {
            platform: app.platform.clone(),
            address: request.uri().to_string(),
            certificate: peer_of(request.extensions()).map(|peer| peer.fingerprint).unwrap_or_default(),
            staff: request.extensions().get::<LoggedInAs>().cloned().unwrap_or_default(),
            known: request.headers().get_all(header::IF_NONE_MATCH).iter().cloned().collect(),
        })
    }

    /// The answer with its tag, or 304 in its place. Only JSON that is there as a whole has one.
    pub(crate) async fn answer(self, response: Response) -> Response {
        let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
        if response.status() != StatusCode::OK || !is_json || response.body().size_hint().exact().is_none() {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        let bytes = match axum::body::to_bytes(body, usize::MAX).await {
            Ok(bytes) => bytes,
            Err(error) => return Problem::internal(error.to_string()).into_response(),
        };
        let staff = self.staff.name();
        let reader = [self.certificate.as_bytes(), staff.as_bytes(), self.address.as_bytes()];
        let tag = self.platform.tag_of(&reader, &bytes).await.map(|tag| HeaderValue::try_from(format!("\"{tag}\"")));
        let Ok(Ok(tag)) = tag else { return Response::from_parts(parts, Body::from(bytes)) };
        if self.known.iter().any(|known| lists(known, &tag)) {
            return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
        }
        parts.headers.insert(header::ETAG, tag);
        Response::from_parts(parts, Body::from(bytes))
    }
}

/// Whether a list of tags names this one; `*` names every one, and a weak tag its strong one.
fn lists(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_not_and_no_other() {
        let tag = HeaderValue::from_static("\"ab\"");
        for known in ["\"ab\"", "W/\"ab\"", "\"x\", \"ab\"", "*"] {
            assert!(lists(&HeaderValue::from_static(known), &tag), "{known}");
        }
        for known in ["", "ab", "\"a\"", "\"abc\"", "\"AB\""] {
            assert!(!lists(&HeaderValue::from_static(known), &tag), "{known}");
        }
    }
}
