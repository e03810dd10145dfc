//! Where a server of the Remote Execution API is: `grpc://HOST:PORT/INSTANCE`, or `grpcs://…` with TLS.

use std::time::Duration;

use crate::far::patience::{PATIENCE_VARIABLE, patience};

/// The variable with a token that is sent to the server.
const TOKEN_VARIABLE: &str = "NETSEC_REMOTE_TOKEN";

/// A server, and how it is spoken to.
#[derive(Clone)]
pub struct ReapiAddress {
    /// As the user wrote it.
    pub url: String,
    /// Host and port, with the scheme that the connection has.
    pub(crate) endpoint: String,
    /// Whether it is spoken to by TLS.
    pub(crate) has_tls: bool,
    /// The instance; empty for the only one.
    pub(crate) instance: String,
    /// What the server knows this user by.
    pub(crate) token: Option<String>,
    /// How long an answer to a small question is waited for.
    pub(crate) patience: Duration,
}

impl ReapiAddress {
    /// Returns whether an address is one of such a server.
    pub fn is_one(url: &str) -> bool {
        url.starts_with("grpc://") || url.starts_with("grpcs://")
    }

    /// Reads an address; what else there is to say stands in the environment. Without `is_known` the
    /// server is one that the user has not named, and is told no token.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(
        url: &str,
        environment: &dyn Fn(&str) -> Option<String>,
        is_known: bool,
    ) -> Result<Self, String> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let has_tls = scheme == "grpcs";
        let (host, instance) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            // Not repeated: it may end up in a log.
            return Err(format!(
                "an address must not hold a password: a token comes from {TOKEN_VARIABLE}"
            ));
        }
        let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if host.starts_with(':') || !matches!(port, Some(Ok(_))) {
            return Err(format!(
                "`{url}` is no address of a server: write grpc://HOST:PORT or grpcs://HOST:PORT/INSTANCE"
            ));
        }
        let patience =
            patience(environment).map_err(|why| format!("{PATIENCE_VARIABLE}: {why}"))?;
        Ok(Self {
            url: url.to_owned(),
            endpoint: format!("{}://{host}", if has_tls { "https" } else { "http" }),
            has_tls,
            instance: instance.trim_matches('/').to_owned(),
            token: set(TOKEN_VARIABLE).filter(|_| is_known),
            patience,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_a_token_is_told_to_known_servers_only() {
        let environment = |name: &str| (name == TOKEN_VARIABLE).then(|| "secret".to_owned());
        let read = |url, is_known| ReapiAddress::read(url, &environment, is_known);
        let address = read("grpcs://cache.team:443/main/", true).unwrap();
        assert_eq!(address.endpoint, "https://cache.team:443");
        assert_eq!((address.instance.as_str(), address.has_tls), ("main", true));
        assert_eq!(address.token.as_deref(), Some("secret"));
        assert_eq!(read("grpc://cache:80", false).unwrap().token, None);
        for wrong in [
            "grpc://",
            "grpc://host",
            "grpc://:80",
            "grpc://h:x/i",
            "grpc://h:99999",
        ] {
            assert!(read(wrong, true).is_err(), "{wrong}");
        }
        let told = read("grpc://user:word@host:80", true).err().unwrap();
        assert!(!told.contains("word@"), "{told}");
    }
}
