//! OpenLineage events, sent to a collector such as Marquez, one after the other.

use std::time::Duration;

use ureq::Agent;

use crate::app::workspace::AppError;
use crate::cli::load::environment;

/// So long may the collector take for one event.
const PATIENCE: Duration = Duration::from_secs(30);
/// So much of what a collector says against an event is told, in bytes.
const TOLD: u64 = 500;

/// Where collectors take events, unless the address says otherwise.
const ENDPOINT: &str = "/api/v1/lineage";

/// Sends events, a line each, to a collector, such as `http://localhost:5000`. The key comes from the
/// environment, as for other clients of OpenLineage. Returns how many were sent.
///
/// # Errors
/// The address holds a password; the collector cannot be reached, or does not take an event: those before
/// were sent.
pub fn send(events: &str, collector: &str) -> Result<usize, AppError> {
    let address = &endpoint(collector)?;
    let config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let agent: Agent = config.into();
    let key = environment("OPENLINEAGE_API_KEY");
    let mut sent = 0;
    for event in events.lines() {
        let mut request = agent.post(address).content_type("application/json");
        if let Some(key) = &key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let failed = |why: String| {
            AppError::Data(format!(
                "`{address}` took {sent} events, and then not the next: {why}"
            ))
        };
        let answered = request.send(event);
        let mut answer = answered.map_err(|error| failed(error.to_string()))?;
        // Read in any case: then the connection serves for the next.
        let body = answer.body_mut().with_config().limit(TOLD).read_to_string();
        if !answer.status().is_success() {
            let said = body.unwrap_or_default();
            return Err(failed(format!("{} {}", answer.status(), said.trim())));
        }
        sent += 1;
    }
    Ok(sent)
}

/// The address that events go to.
fn endpoint(collector: &str) -> Result<String, AppError> {
    let Some((scheme, rest)) = collector.split_once("://") else {
        return Err(AppError::Usage(format!(
            "`{collector}` is no address: say `http://HOST:PORT` or `https://HOST`"
        )));
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.contains('@') {
        // Not repeated: it may end up in a log.
        return Err(AppError::Usage(
            "the address of the collector must not hold a password: set OPENLINEAGE_API_KEY"
                .to_owned(),
        ));
    }
    let path = match path {
        "" | "/" => ENDPOINT,
        path => path,
    };
    Ok(format!("{scheme}://{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_usual_one_and_none_holds_a_password() {
        let to = |collector| endpoint(collector).expect("an address");
        assert_eq!(to("http://here:5000"), "http://here:5000/api/v1/lineage");
        assert_eq!(to("https://here/"), "https://here/api/v1/lineage");
        assert_eq!(to("https://here/lineage?x=1"), "https://here/lineage?x=1");
        assert!(endpoint("here:5000").is_err());
        let refused = endpoint("http://me:secret@here").expect_err("a password");
        assert!(!refused.to_string().contains("secret"));
    }
}
