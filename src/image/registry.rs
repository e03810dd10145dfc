//! Sends an image to a registry (OCI Distribution 1.1), byte for byte, so that its digest stays what it
//! was. What a registry has already is not sent again.
//!
//! Our own, and not a library's: the calls are six, and the libraries there are bring a second stack of
//! HTTP and serialise manifests anew.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::Agent;
use ureq::http::{HeaderMap, Response, StatusCode, Uri, header};

use crate::base::secret::Secret;
use crate::image::layer::sha256;
use crate::image::layout::{ImageManifest, MANIFEST};

/// So much of what a registry says against a request is told, in bytes.
const TOLD: u64 = 2000;

/// What a tag may point at; a registry that is asked for none of it says that there is nothing.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// Where an image goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    /// The host, and its port if it has one.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

/// Who sends it.
pub struct RegistryUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Secret,
}

/// Why an image was not sent.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The reference is none.
    #[error("`{0}` is not HOST/REPOSITORY:TAG")]
    Reference(String),
    /// The layout is damaged.
    #[error("the image is damaged: {0}")]
    Layout(String),
    /// The registry cannot be reached.
    #[error("`{host}` cannot be reached: {why}")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        why: String,
    },
    /// The registry wants somebody else.
    #[error(
        "`{host}` does not let this user in: name one with `--user`, and give the password with `--password-stdin`"
    )]
    Unauthorized {
        /// The host.
        host: String,
    },
    /// The registry does not take it.
    #[error("`{host}` does not take the {what}: {status} {said}")]
    Refused {
        /// The host.
        host: String,
        /// What was sent.
        what: String,
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// The tag points at another image.
    #[error(
        "the tag `{tag}` points at another image, {digest}: choose another tag, or move it with `--move-tag`"
    )]
    TagTaken {
        /// The tag.
        tag: String,
        /// The image it points at.
        digest: String,
    },
    /// The registry keeps something else.
    #[error("the registry says that the image is {0}: it is not what was sent")]
    OtherDigest(String),
}

impl ImageReference {
    /// Reads a reference.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let odd = || RegistryError::Reference(text.to_owned());
        let (host, rest) = text.split_once('/').ok_or_else(odd)?;
        let (repository, tag) = rest.rsplit_once(':').ok_or_else(odd)?;
        let is_name = |text: &str, more: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !text.is_empty() && text.chars().all(plain)
        };
        let is_right = is_name(host, ".-:[]") && is_name(repository, "._-/") && is_name(tag, "._-");
        is_right
            .then(|| Self {
                host: host.to_owned(),
                repository: repository.to_owned(),
                tag: tag.to_owned(),
            })
            .ok_or_else(odd)
    }

    /// A registry of this machine is spoken to plainly, every other over TLS.
    fn scheme(&self) -> &'static str {
        let name = self
            .host
            .rsplit_once(':')
            .map_or(self.host.as_str(), |(name, _)| name);
        match name {
            "localhost" | "127.0.0.1" | "[::1]" => "http",
            _ => "https",
        }
    }

    fn address(&self, path: &str) -> String {
        let (scheme, host, repository) = (self.scheme(), &self.host, &self.repository);
        format!("{scheme}://{host}/v2/{repository}/{path}")
    }
}

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushSummary {
    /// The digest of the image.
    pub digest: String,
    /// Blobs that were sent.
    pub sent: usize,
    /// Blobs that were there.
    pub there: usize,
    /// Bytes that were sent.
    pub bytes: u64,
}

/// Reads a blob of an image by its digest.
pub type ReadBlob<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, RegistryError>;

/// Sends an image: its manifest by this digest, and what that names.
///
/// # Errors
/// See `RegistryError`.
pub fn push(
    to: &ImageReference,
    digest: &str,
    read: ReadBlob<'_>,
    user: Option<&RegistryUser>,
    may_move_tag: bool,
) -> Result<PushSummary, RegistryError> {
    let manifest = checked(read, digest)?;
    let parts: ImageManifest = serde_json::from_slice(&manifest)
        .map_err(|error| RegistryError::Layout(error.to_string()))?;
    let mut registry = Registry::new(to, user);
    let address = to.address(&format!("manifests/{}", to.tag));
    let mut summary = PushSummary {
        digest: digest.to_owned(),
        ..PushSummary::default()
    };
    let standing = registry.call("HEAD", &address, &[("accept", MANIFESTS)], None)?;
    if standing.status().is_success() && !may_move_tag {
        let there = text_of(standing.headers(), "docker-content-digest").unwrap_or_default();
        if there != digest {
            return Err(RegistryError::TagTaken {
                tag: to.tag.clone(),
                digest: there,
            });
        }
    }
    for part in parts.layers.iter().chain([&parts.config]) {
        match registry.has_blob(&part.digest)? {
            true => summary.there += 1,
            false => {
                let bytes = checked(read, &part.digest)?;
                registry.send_blob(&part.digest, &bytes)?;
                summary.sent += 1;
                summary.bytes += bytes.len() as u64;
            }
        }
    }
    let kind = [("content-type", MANIFEST)];
    let kept = registry.call("PUT", &address, &kind, Some(&manifest))?;
    let kept = registry.accepted(kept, "manifest")?;
    match text_of(kept.headers(), "docker-content-digest") {
        Some(other) if other != digest => Err(RegistryError::OtherDigest(other)),
        _ => Ok(summary),
    }
}

/// Reads a blob and checks that its bytes are those of its name.
fn checked(read: ReadBlob<'_>, digest: &str) -> Result<Vec<u8>, RegistryError> {
    let bytes = read(digest)?;
    match format!("sha256:{}", sha256(&bytes)) == digest {
        true => Ok(bytes),
        false => Err(RegistryError::Layout(format!(
            "the bytes of {digest} were changed"
        ))),
    }
}

/// A registry, and how it is spoken to.
struct Registry<'a> {
    to: &'a ImageReference,
    user: Option<&'a RegistryUser>,
    agent: Agent,
    /// What is sent as `Authorization`, once it is known.
    authorization: Option<String>,
}

type Answered = Response<ureq::Body>;

/// What a token service answers.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Registry<'a> {
    fn new(to: &'a ImageReference, user: Option<&'a RegistryUser>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Self {
            to,
            user,
            agent: config.into(),
            authorization: None,
        }
    }

    /// Asks, and asks again with what it wants to know of the user.
    fn call(
        &mut self,
        method: &str,
        address: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answered, RegistryError> {
        let answer = self.ask(method, address, headers, body)?;
        if answer.status() != StatusCode::UNAUTHORIZED || self.authorization.is_some() {
            return self.let_in(answer);
        }
        let wanted = text_of(answer.headers(), header::WWW_AUTHENTICATE.as_str());
        self.authorization = self.authorized(&wanted.unwrap_or_default())?;
        let answer = self.ask(method, address, headers, body)?;
        self.let_in(answer)
    }

    fn let_in(&self, answer: Answered) -> Result<Answered, RegistryError> {
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Unauthorized {
                host: self.to.host.clone(),
            }),
            _ => Ok(answer),
        }
    }

    fn ask(
        &self,
        method: &str,
        address: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answered, RegistryError> {
        let mut request = ureq::http::Request::builder().method(method).uri(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // Where a registry keeps blobs elsewhere, that place is not told who sends them.
        let is_ours =
            origin(address).is_some_and(|found| Some(found) == origin(&self.to.address("")));
        if let (Some(authorization), true) = (&self.authorization, is_ours) {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let unreachable = |why: String| RegistryError::Unreachable {
            host: self.to.host.clone(),
            why,
        };
        let odd = |error: ureq::http::Error| unreachable(error.to_string());
        let answered = match body {
            Some(body) => self.agent.run(request.body(body).map_err(odd)?),
            None => self.agent.run(request.body(()).map_err(odd)?),
        };
        answered.map_err(|error| unreachable(error.to_string()))
    }

    /// Returns what to send as `Authorization` for what a registry wants.
    fn authorized(&self, wanted: &str) -> Result<Option<String>, RegistryError> {
        let basic = self.user.map(|user| {
            let pair = format!("{}:{}", user.name, user.password.reveal());
            format!("Basic {}", STANDARD.encode(pair))
        });
        let Some(parameters) = strip_scheme(wanted, "bearer") else {
            return Ok(basic);
        };
        let parameter = |name: &str| {
            let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        let Some(realm) = parameter("realm").filter(|realm| realm.starts_with("https://")) else {
            return Ok(basic);
        };
        let scope = format!("repository:{}:pull,push", self.to.repository);
        let mut request = self.agent.get(&realm).query("scope", &scope);
        if let Some(service) = parameter("service") {
            request = request.query("service", service);
        }
        if let Some(basic) = &basic {
            request = request.header("authorization", basic);
        }
        let unauthorized = || RegistryError::Unauthorized {
            host: self.to.host.clone(),
        };
        let mut answer = request.call().map_err(|_| unauthorized())?;
        let text = answer
            .body_mut()
            .read_to_string()
            .map_err(|_| unauthorized())?;
        let token: TokenAnswer = serde_json::from_str(&text).map_err(|_| unauthorized())?;
        let token = token
            .token
            .or(token.access_token)
            .ok_or_else(unauthorized)?;
        Ok(Some(format!("Bearer {token}")))
    }

    fn has_blob(&mut self, digest: &str) -> Result<bool, RegistryError> {
        let address = self.to.address(&format!("blobs/{digest}"));
        let answer = self.call("HEAD", &address, &[], None)?;
        Ok(answer.status().is_success())
    }

    fn send_blob(&mut self, digest: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let begun = self.call("POST", &self.to.address("blobs/uploads/"), &[], Some(&[]))?;
        let begun = self.accepted(begun, "beginning of a layer")?;
        let place = text_of(begun.headers(), header::LOCATION.as_str()).unwrap_or_default();
        let place = match place.starts_with('/') {
            true => format!("{}://{}{place}", self.to.scheme(), self.to.host),
            false => place,
        };
        let separator = if place.contains('?') { '&' } else { '?' };
        let address = format!("{place}{separator}digest={digest}");
        let kind = [("content-type", "application/octet-stream")];
        let sent = self.call("PUT", &address, &kind, Some(bytes))?;
        self.accepted(sent, "layer").map(|_| ())
    }

    fn accepted(&self, mut answer: Answered, what: &str) -> Result<Answered, RegistryError> {
        if answer.status().is_success() {
            return Ok(answer);
        }
        let said = answer.body_mut().with_config().limit(TOLD).read_to_string();
        Err(RegistryError::Refused {
            host: self.to.host.clone(),
            what: what.to_owned(),
            status: answer.status().as_u16(),
            said: said.unwrap_or_default().trim().to_owned(),
        })
    }
}

/// Returns scheme, host and port of an address. A registry may leave out the port that its scheme has anyway.
fn origin(address: &str) -> Option<(String, String, u16)> {
    let address: Uri = address.parse().ok()?;
    let scheme = address.scheme_str()?.to_ascii_lowercase();
    let usual = if scheme == "https" { 443 } else { 80 };
    let host = address.host()?.to_ascii_lowercase();
    Some((scheme, host, address.port_u16().unwrap_or(usual)))
}

fn strip_scheme<'t>(text: &'t str, scheme: &str) -> Option<&'t str> {
    let (given, rest) = text.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_host_repository_and_tag() {
        let ecr = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/netsec/phishing:v1";
        let read = ImageReference::parse(ecr).unwrap();
        assert_eq!(
            (read.repository.as_str(), read.tag.as_str()),
            ("netsec/phishing", "v1")
        );
        assert_eq!(read.scheme(), "https");
        let here = ImageReference::parse("127.0.0.1:5000/m:t").unwrap();
        assert_eq!(
            here.address("blobs/x"),
            "http://127.0.0.1:5000/v2/m/blobs/x"
        );
        for odd in [
            "",
            "m:t",
            "host/m",
            "host/m:",
            "user@host/m:t",
            "host/m:t?x",
            "host/m m:t",
        ] {
            assert!(ImageReference::parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_which_may_be_the_usual_one() {
        let same = [
            (
                "https://r.example:443/v2/m/",
                "https://R.example/v2/m/blobs/uploads/1?x=y",
            ),
            ("http://127.0.0.1:80/", "http://127.0.0.1/v2/"),
            ("http://[::1]:5000/", "http://[::1]:5000/v2/"),
        ];
        for (left, right) in same {
            assert!(origin(left).is_some());
            assert_eq!(origin(left), origin(right));
        }
        let others = [
            ("https://r.example/", "http://r.example/"),
            ("https://r.example/", "https://r.example:5000/"),
            ("https://r.example/", "https://r.example.evil/"),
            ("https://r.example/", "https://r.example@evil/"),
            ("https://r.example/", "https://evil/r.example/"),
        ];
        for (left, right) in others {
            assert_ne!(origin(left), origin(right), "{right}");
        }
        assert_eq!(origin("//r.example/"), None);
    }
}
