//! Base URLs and keys.

use std::fmt;

use async_openai::config::Config;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest_of_async_openai as reqwest;
use secrecy::SecretString;

use crate::error::SetupError;

/// Base URL of OpenAI itself.
pub const OPENAI: &str = "https://api.openai.com/v1";

/// An API key, hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// True if the key is empty: many deployments set an empty variable for no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key itself, for a request's header and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ApiKey {
    /// The key without surrounding white space, which files of secrets often end with.
    /// [`Server::new`](crate::Server::new) validates it, for an error of the command line would show it.
    fn from(key: &str) -> Self {
        Self(key.trim().to_owned())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(hidden)")
    }
}

/// Parses a base URL.
pub(crate) fn parse_address(address: &str) -> Result<Url, SetupError> {
    let invalid = |why: &str| SetupError::Address(why.to_owned());
    let url = Url::parse(address).map_err(|error| SetupError::Address(format!("cannot be parsed: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("must begin with http:// or https:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("contains a user or a password: set the key by its own setting"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("contains a query or a fragment"));
    }
    Ok(url)
}

/// True if it is OpenAI's own server, or Azure's.
pub(crate) fn is_openai(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "openai.com" || host.ends_with(".openai.com") || host.ends_with(".openai.azure.com")
}

/// Base URL and headers. async-openai's own configuration reads undocumented variables, and panics on keys that are
/// invalid as headers.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    base: String,
    key: SecretString,
    headers: HeaderMap,
}

impl Endpoint {
    pub(crate) fn new(url: &Url, key: Option<&ApiKey>) -> Result<Self, SetupError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let bearer = format!("Bearer {}", key.expose());
            let mut bearer = HeaderValue::try_from(bearer).map_err(|_| SetupError::Key)?;
            // Hides it from `Debug`.
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let key = SecretString::from(key.map(|key| key.expose().to_owned()).unwrap_or_default());
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), key, headers })
    }
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_addresses_are_refused_and_not_shown() {
        for (address, expected) in [
            ("localhost:8080", "must begin with http:// or https://"),
            ("ftp://localhost", "must begin with http:// or https://"),
            ("localhost", "cannot be parsed"),
            ("", "cannot be parsed"),
            ("http://mina:geheim@localhost/v1", "set the key by its own setting"),
            ("http://localhost/v1?key=geheim", "a query"),
        ] {
            let error = parse_address(address).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("geheim"), "{address}: {error}");
        }
    }

    #[test]
    fn openai_is_recognised() {
        for (address, expected) in [
            (OPENAI, true),
            ("https://mina.openai.azure.com", true),
            ("https://notopenai.com/v1", false),
            ("http://localhost:8080/v1", false),
        ] {
            assert_eq!(is_openai(&parse_address(address).unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_slash_at_the_end_of_an_address_changes_nothing() {
        let endpoint = |address| Endpoint::new(&parse_address(address).unwrap(), None).unwrap().url("/embeddings");
        assert_eq!(endpoint("http://localhost:8080/v1/"), "http://localhost:8080/v1/embeddings");
        assert_eq!(endpoint("http://localhost:8080/v1"), "http://localhost:8080/v1/embeddings");
        assert_eq!(endpoint("http://localhost"), "http://localhost/embeddings");
    }
}
