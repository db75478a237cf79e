//! The operator: a caller who has sent the token, and the address that the connection came from.

use std::{fmt, net::SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::{Admin, ApiError};

/// A caller who may change things. Displayed as the address of the other end, which may be a proxy's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator(Option<SocketAddr>);

impl FromRequestParts<Admin> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, ApiError> {
        may_act(admin, &parts.headers)?;
        // The connection's address, because a caller could make up a header that claims an address.
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)))
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("an unknown address"),
        }
    }
}

/// Whether the sender of `headers` may change anything. A browser does not add this header to requests of other pages.
fn may_act(admin: &Admin, headers: &HeaderMap) -> Result<(), ApiError> {
    let token = admin.token.as_ref().ok_or(ApiError::ReadOnly)?;
    let given =
        headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(b"Bearer ".len()));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer ")).map(|(_, token)| token);
    // Digests are compared, because the time that their comparison takes does not reveal the token.
    let is_right = given.is_some_and(|given| Sha256::digest(given) == Sha256::digest(token.expose_secret().trim()));
    is_right.then_some(()).ok_or(ApiError::WrongToken)
}
