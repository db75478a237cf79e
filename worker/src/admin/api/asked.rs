//! The parameters of a request: the part of its URL behind the question mark.

use std::error::Error;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Admin, ApiError};

/// The parameters of a request. `T` denies unknown names: a typo in a name must not change the meaning of the request.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

/// For requests that take no parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<T: DeserializeOwned> FromRequestParts<Admin> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Admin) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => {
                // The innermost cause names the wrong parameter and the existing ones; the outer errors add nothing.
                let mut cause: &dyn Error = &rejection;
                while let Some(inner) = cause.source() {
                    cause = inner;
                }
                Err(ApiError::Parameter(cause.to_string()))
            }
        }
    }
}
