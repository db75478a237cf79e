//! What a request asks for behind its question mark.

use std::error::Error;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Admin, ApiError};

/// The parameters of a request. `T` denies unknown ones: a typo in a name must not change what is asked for.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

/// What takes no parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<T: DeserializeOwned> FromRequestParts<Admin> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Admin) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => {
                // The innermost cause names the parameter and those that exist; what is around it says nothing more.
                let mut cause: &dyn Error = &rejection;
                while let Some(inner) = cause.source() {
                    cause = inner;
                }
                Err(ApiError::Parameter(cause.to_string()))
            }
        }
    }
}
