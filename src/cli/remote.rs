//! The shared cache and the other machines of a run: which ones, and what they are told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::app::remote_work::{OtherMachines, remote_workers};
use crate::app::workspace::{AppError, LoadedPipeline, Workspace};
use crate::base::signing::SigningKey;
use crate::bucket::cache::BucketCache;
use crate::bucket::objects::Bucket;
use crate::cli::args_remote::{RemoteArgs, RemoteModeArg};
use crate::cli::load::environment;
use crate::cli::own_class::own_class;
use crate::cli::{allowed_remotes, out};
use crate::far::remote_cache::RemoteCache;
use crate::far::remote_runner::RemoteRunner;
use crate::far::shared_cache::{SharedCache, SharingTerms};
use crate::reapi::address::ReapiAddress;
use crate::reapi::cache::ReapiCache;
use crate::reapi::runner::ReapiRunner;
use crate::stage::remote::{RemoteMode, RemoteSettings};

/// Opens the shared cache that flags, the environment or else the pipeline file name.
///
/// A pipeline file alone cannot have results published: whoever runs it has named the cache
/// themselves, or allowed that one before.
///
/// # Errors
/// The address is none; the key cannot be read.
pub fn shared_cache(
    workspace: &Workspace,
    loaded: &LoadedPipeline,
    args: &RemoteArgs,
) -> Result<Option<SharedCache>, AppError> {
    let settings = &loaded.pipeline.remote;
    let mode = match (args.remote_mode, variable("NETSEC_REMOTE_MODE")) {
        (Some(mode), _) => mode.into(),
        (None, Some(word)) => RemoteMode::parse(&word).ok_or_else(|| {
            let words = RemoteMode::WORDS.join(", ");
            AppError::Usage(format!("NETSEC_REMOTE_MODE: `{word}` is none of {words}"))
        })?,
        (None, None) => settings.mode,
    };
    let named = args.remote_cache.clone();
    let named = named.or_else(|| variable("NETSEC_REMOTE_CACHE"));
    let named = named.as_deref().filter(|url| !url.is_empty());
    let Some(url) = named.or(settings.cache.as_deref()) else {
        return Ok(None);
    };
    if mode == RemoteMode::Off {
        return Ok(None);
    }
    let is_allowed = named.is_some() || allowed_remotes::contains(url)?;
    if mode == RemoteMode::ReadWrite && !is_allowed {
        out::say(&format!(
            "results are taken from `{url}` and not published there: the pipeline file alone does not decide where your \
             results go; `netsec cache allow {url}` lets it"
        ));
    }
    let publishes = mode == RemoteMode::ReadWrite && is_allowed;
    let key = args.remote_sign.clone();
    let key = key.or_else(|| variable("NETSEC_SIGNING_KEY").map(PathBuf::from));
    let key = key.as_deref().filter(|_| publishes);
    let cache = open(workspace, url, is_allowed)?;
    let terms = SharingTerms {
        class: own_class().to_owned(),
        publishes,
        required: settings.required,
        trust: loaded.pipeline.trust.clone(),
        key: key.map(SigningKey::load).transpose()?,
    };
    Ok(Some(SharedCache::new(cache, terms)))
}

/// Returns what a variable of the environment says: one that is empty, as one of a CI that has no such
/// secret, says nothing.
fn variable(name: &str) -> Option<String> {
    environment(name).filter(|value| !value.is_empty())
}

/// Makes ready the machines that flags, the environment or else the pipeline file name.
///
/// A pipeline file alone cannot have data sent anywhere: whoever runs it has named the server themselves,
/// or allowed that one before.
///
/// # Errors
/// The address is none; netsec itself cannot be read.
pub fn other_machines(
    loaded: &LoadedPipeline,
    args: &RemoteArgs,
) -> Result<Option<OtherMachines>, AppError> {
    let settings = &loaded.pipeline.remote;
    let named = args.remote_execute.clone();
    let named = named.or_else(|| variable("NETSEC_REMOTE_EXECUTE"));
    let named = named.as_deref().filter(|url| !url.is_empty());
    let Some(url) = named.or(settings.execute.as_deref()) else {
        return Ok(None);
    };
    if url == "off" || args.remote_mode == Some(RemoteModeArg::Off) {
        return Ok(None);
    }
    if !ReapiAddress::is_one(url) {
        return Err(AppError::Usage(format!(
            "`{url}` carries nothing out: only servers of the Remote Execution API do, grpc://HOST:PORT or \
             grpcs://HOST:PORT/INSTANCE"
        )));
    }
    if named.is_none() && !allowed_remotes::contains(url)? {
        out::say(&format!(
            "nothing is sent to `{url}`, and all runs here: the pipeline file alone does not decide where your data go; \
             `netsec cache allow {url}` lets it"
        ));
        return Ok(None);
    }
    let address = ReapiAddress::read(url, &|name| environment(name), true);
    let runner = ReapiRunner::new(address.map_err(AppError::Usage)?, settings.queue_limit);
    let wrong = |why: String| AppError::Usage(format!("`{url}` cannot be used: {why}"));
    let settings = RemoteSettings {
        jobs: args.remote_jobs.map_or(settings.jobs, usize::from),
        download: args.remote_download.map_or(settings.download, Into::into),
        ..settings.clone()
    };
    let class = own_class().to_owned();
    remote_workers(Arc::new(runner.map_err(wrong)?), &settings, class).map(Some)
}

/// Connects to a server on which blobs stayed.
///
/// # Errors
/// The address is none.
pub fn kept_blobs(url: &str) -> Result<Arc<dyn RemoteRunner>, AppError> {
    let address = ReapiAddress::read(url, &|name| environment(name), true);
    let runner = ReapiRunner::new(address.map_err(AppError::Usage)?, Duration::ZERO);
    let wrong = |why: String| AppError::Usage(format!("`{url}` cannot be used: {why}"));
    Ok(Arc::new(runner.map_err(wrong)?))
}

/// Opens a cache by its address, without asking it anything.
fn open(
    workspace: &Workspace,
    url: &str,
    is_known: bool,
) -> Result<Box<dyn RemoteCache>, AppError> {
    let environment = |name: &str| environment(name);
    if ReapiAddress::is_one(url) {
        let address = ReapiAddress::read(url, &environment, is_known).map_err(AppError::Usage)?;
        let cache = ReapiCache::new(address);
        let wrong = |why: String| AppError::Usage(format!("`{url}` cannot be used: {why}"));
        return Ok(Box::new(cache.map_err(wrong)?));
    }
    let bucket = Bucket::open(url, &environment);
    let bucket = bucket.map_err(|error| AppError::Usage(error.to_string()))?;
    let scratch = workspace.cache.join("tmp");
    Ok(Box::new(BucketCache::new(bucket, scratch)))
}
