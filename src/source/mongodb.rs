//! A collection of MongoDB: what state it is in, and its documents in the order of their `_id`.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::{Error as DriverError, ErrorKind};
use mongodb::options::{ClientOptions, Hint, Tls, TlsOptions};
use mongodb::{Client, Collection as Handle};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};

use crate::base::clock::{self, Clock};
use crate::base::nearest::suggest;
use crate::base::secret::Secret;
use crate::source::documents::{key_of, key_text};

/// Documents that are asked for at once.
const BATCH: u32 = 5_000;
/// How often in a row a broken connection is taken up again.
const RESUMES: u32 = 5;
/// Rows that are written at once.
const WRITE: usize = 1_000;
/// Operators that carry programs: they could do anything, and could not be part of a key.
const PROGRAMS: [&str; 3] = ["$where", "$function", "$accumulator"];

/// Where documents are, and which of them are meant.
#[derive(Clone, Debug)]
pub struct Collection {
    /// The address, with the name and the password in it.
    pub uri: Secret,
    /// The database.
    pub database: String,
    /// The collection.
    pub collection: String,
    /// Which documents are meant.
    pub filter: Document,
    /// Which fields are taken.
    pub projection: Document,
    /// How long to look for a server.
    pub timeout: Duration,
    /// A file with the certificates of the authority that vouches for the server.
    pub tls_ca_file: Option<PathBuf>,
}

/// Why a collection cannot be read, in words without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MongoError(pub String);

/// Reads a filter or projection: MongoDB Extended JSON.
///
/// # Errors
/// It is no such object; it holds a program (`$where`, `$function`, `$accumulator`).
pub fn parse(text: &str) -> Result<Document, MongoError> {
    // Read without a detour, so that the order of the keys stays.
    let bson: Bson = serde_json::from_str(text)
        .map_err(|error| MongoError(format!("this is not MongoDB Extended JSON: {error}")))?;
    let Bson::Document(document) = bson else {
        return Err(MongoError("this is JSON, but no object".to_owned()));
    };
    match program(&Bson::Document(document.clone())) {
        Some(word) => Err(MongoError(format!(
            "`{word}` runs a program on the server, which is refused: ask with plain operators"
        ))),
        None => Ok(document),
    }
}

fn program(bson: &Bson) -> Option<&'static str> {
    match bson {
        Bson::Document(document) => document.iter().find_map(|(key, value)| {
            PROGRAMS
                .into_iter()
                .find(|word| word.eq_ignore_ascii_case(key))
                .or_else(|| program(value))
        }),
        Bson::Array(items) => items.iter().find_map(program),
        Bson::JavaScriptCode(_) | Bson::JavaScriptCodeWithScope(_) => Some("$where"),
        _ => None,
    }
}

/// How much of a collection is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum CollectionRange {
    /// All of it.
    All,
    /// What comes after this `_id`, up to that one.
    Ids(Bson, Bson),
    /// Documents whose field is from this value up to that one.
    Values(String, Bson, Bson),
}

/// A connection; everything on it blocks.
pub struct MongoSession<'a> {
    asked: &'a Collection,
    runtime: Runtime,
    handle: Handle<RawDocumentBuf>,
}

impl Collection {
    /// Connects, and looks whether the collection is there.
    ///
    /// # Errors
    /// The address is none; no server answers; it refuses; there is no such collection.
    pub fn connect(&self) -> Result<MongoSession<'_>, MongoError> {
        let session = self.open()?;
        let database = session.handle.client().database(&self.database);
        let listed = session
            .runtime
            .block_on(database.list_collection_names().into_future());
        match listed {
            Ok(names) if names.contains(&self.collection) => Ok(session),
            Ok(names) if names.is_empty() => Err(MongoError(format!(
                "there is no database `{}`, or nothing in it: check `database`",
                self.database
            ))),
            Ok(names) => {
                let help =
                    suggest(&self.collection, names.iter().map(String::as_str)).unwrap_or_default();
                Err(MongoError(format!(
                    "the database `{}` has no collection `{}`: {help}",
                    self.database, self.collection
                )))
            }
            // A user who may read a collection need not be allowed to list all.
            Err(error) if code(&error) == Some(13) => Ok(session),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// Connects for writing: the collection need not be there.
    fn open(&self) -> Result<MongoSession<'_>, MongoError> {
        let broken =
            |error: std::io::Error| MongoError(format!("no runtime for the connection: {error}"));
        let runtime = RuntimeBuilder::new_current_thread()
            .enable_all()
            .build()
            .map_err(broken)?;
        let client = runtime.block_on(self.client())?;
        let handle = client.database(&self.database).collection(&self.collection);
        Ok(MongoSession {
            asked: self,
            runtime,
            handle,
        })
    }

    async fn client(&self) -> Result<Client, MongoError> {
        let mut options = ClientOptions::parse(self.uri.reveal()).await.map_err(|error| match *error.kind {
            ErrorKind::DnsResolve { .. } => MongoError("the name of the server in `uri` cannot be resolved".to_owned()),
            _ => MongoError(
                "`uri` is not the address of a MongoDB server, such as `mongodb://user:password@host:27017/?authSource=admin`; \
                 characters like `@` and `/` in a password are written as `%40` and `%2F`"
                    .to_owned(),
            ),
        })?;
        options.server_selection_timeout = Some(self.timeout);
        options.connect_timeout = Some(self.timeout);
        options.app_name = Some("netsec".to_owned());
        if let Some(file) = &self.tls_ca_file {
            let mut tls = match options.tls.take() {
                Some(Tls::Enabled(tls)) => tls,
                _ => TlsOptions::default(),
            };
            if !file.exists() {
                return Err(MongoError(format!(
                    "`tls_ca_file`: there is no file `{}`",
                    file.display()
                )));
            }
            tls.ca_file_path = Some(file.clone());
            options.tls = Some(Tls::Enabled(tls));
        }
        Client::with_options(options).map_err(|error| self.error(&error))
    }

    /// Says what went wrong. The driver's own words are passed on only where they are needed, and
    /// scrubbed.
    fn error(&self, error: &DriverError) -> MongoError {
        let place = format!("`{}.{}`", self.database, self.collection);
        let scrubbed = || {
            let parts = password(self.uri.reveal());
            let secrets = self.uri.all().into_iter().cloned().chain(parts);
            let text = match &*error.kind {
                ErrorKind::Command(command) => {
                    format!("{} ({})", command.message, command.code_name)
                }
                _ => error.to_string(),
            };
            let clean = secrets.fold(text.into_bytes(), |text, secret| secret.scrub(&text));
            String::from_utf8_lossy(&clean).into_owned()
        };
        MongoError(match (&*error.kind, code(error)) {
            (ErrorKind::Authentication { .. }, _) | (_, Some(18)) => {
                "the server refuses the user or the password in `uri` (also see `authSource`)"
                    .to_owned()
            }
            (_, Some(13)) if self.uri.reveal().contains('@') => {
                format!(
                    "the user in `uri` may not do this with {place}: reading needs the role `read` on its database"
                )
            }
            (_, Some(13)) => {
                format!("the server wants a user and a password for {place}: put them into `uri`")
            }
            (ErrorKind::ServerSelection { .. }, _) => {
                let why = scrubbed();
                let tls = ["certificate", "tls", "TLS"]
                    .iter()
                    .any(|word| why.contains(word));
                let hint = if tls {
                    "; its certificate is not trusted or does not fit its name: see `tls_ca_file`"
                } else {
                    ": is it running, are host, port and `replicaSet` right, does it want TLS?"
                };
                format!(
                    "no server answered within {} s{hint}",
                    self.timeout.as_secs_f64()
                )
            }
            (ErrorKind::InvalidTlsConfig { .. }, _) => format!("TLS: {}", scrubbed()),
            _ => format!("{place}: {}", scrubbed()),
        })
    }
}

/// The password of an address, as written and decoded.
fn password(uri: &str) -> Vec<Secret> {
    let user = uri
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'))
        .map(|(user, _)| user);
    let Some((_, written)) = user.and_then(|user| user.split_once(':')) else {
        return Vec::new();
    };
    let mut decoded = Vec::new();
    let mut bytes = written.bytes();
    while let Some(byte) = bytes.next() {
        let hex: Option<u8> = (byte == b'%')
            .then(|| {
                let pair = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()
            })
            .flatten();
        decoded.push(hex.unwrap_or(byte));
    }
    vec![
        Secret::new(written.to_owned()),
        Secret::new(String::from_utf8_lossy(&decoded).into_owned()),
    ]
}

fn code(error: &DriverError) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// Whether reading can be taken up again where it broke off: the connection or the cursor is gone,
/// the server steps down.
fn can_resume(error: &DriverError) -> bool {
    let passing = [
        6, 7, 43, 50, 89, 91, 133, 150, 189, 234, 237, 262, 9001, 10107, 11600, 11602, 13388,
        13435, 13436,
    ];
    match &*error.kind {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. } => true,
        ErrorKind::Command(command) => passing.contains(&command.code),
        _ => false,
    }
}

impl MongoSession<'_> {
    /// Says in what state the collection is: the greatest `_id`, or the greatest value of the
    /// field, among the documents that are meant. `None` if there are none.
    ///
    /// # Errors
    /// The server does not answer or refuses.
    pub fn greatest(&self, field: &str) -> Result<Option<Bson>, MongoError> {
        let filter = match field {
            "_id" => self.asked.filter.clone(),
            _ => both(
                self.asked.filter.clone(),
                doc! { field: { "$exists": true, "$ne": null } },
            ),
        };
        let handle = self.handle.clone_with_type::<Document>();
        let found = handle
            .find_one(filter)
            .sort(doc! { field: -1 })
            .projection(doc! { field: 1 });
        let found = self
            .runtime
            .block_on(found.into_future())
            .map_err(|error| self.asked.error(&error))?;
        Ok(found.and_then(|found| at_path(&found, field)))
    }

    /// Returns how many documents the collection has, as far as the server knows without counting.
    ///
    /// # Errors
    /// As `greatest`.
    pub fn count(&self) -> Result<u64, MongoError> {
        let counted = self.handle.estimated_document_count().into_future();
        self.runtime
            .block_on(counted)
            .map_err(|error| self.asked.error(&error))
    }

    /// Gives every document of a range, in the order of their `_id`, to `each`, several at once. A
    /// cursor that is lost and a connection that breaks off are taken up after the last document
    /// that came.
    ///
    /// # Errors
    /// The server does not answer or refuses; what `each` tells.
    pub fn read<E>(
        &self,
        range: &CollectionRange,
        each: &mut dyn FnMut(Vec<RawDocumentBuf>) -> Result<(), E>,
    ) -> Result<Result<u32, E>, MongoError> {
        // A cursor that is let go tells the server so.
        let _within = self.runtime.enter();
        let (mut last, up_to) = match range {
            CollectionRange::All | CollectionRange::Values(..) => (None, None),
            CollectionRange::Ids(after, up_to) => (Some(after.clone()), Some(up_to.clone())),
        };
        let (mut tries, mut resumed) = (0, 0);
        'resume: loop {
            let mut filter = self.asked.filter.clone();
            if let CollectionRange::Values(field, from, to) = range {
                filter = both(
                    filter,
                    doc! { field: { "$gte": from.clone(), "$lte": to.clone() } },
                );
            }
            let mut find = self
                .handle
                .find(filter)
                .sort(doc! { "_id": 1 })
                .batch_size(BATCH);
            if !self.asked.projection.is_empty() {
                find = find.projection(self.asked.projection.clone());
            }
            if let Some(last) = &last {
                // A bound of the index goes on through `_id`s of all types, where `$gt` would stay
                // within one.
                find = find
                    .hint(Hint::Keys(doc! { "_id": 1 }))
                    .min(doc! { "_id": last.clone() });
            }
            let mut cursor = match self.runtime.block_on(find.into_future()) {
                Ok(cursor) => cursor,
                Err(error) if can_resume(&error) && tries < RESUMES => {
                    tries += 1;
                    resumed += 1;
                    self.rest(tries);
                    continue;
                }
                Err(error) => return Err(self.asked.error(&error)),
            };
            loop {
                let mut batch = Vec::new();
                let mut is_over = false;
                let mut broken = None;
                while batch.len() < BATCH as usize {
                    match self.runtime.block_on(cursor.next()) {
                        Some(Ok(document)) => {
                            let key = key_of(&document);
                            if last.as_ref() == Some(&key) {
                                continue;
                            }
                            is_over = up_to.as_ref() == Some(&key);
                            last = Some(key);
                            batch.push(document);
                            if is_over {
                                break;
                            }
                        }
                        Some(Err(error)) => {
                            broken = Some(error);
                            break;
                        }
                        None => {
                            is_over = true;
                            break;
                        }
                    }
                }
                if !batch.is_empty() {
                    tries = 0;
                    if let Err(error) = each(batch) {
                        return Ok(Err(error));
                    }
                }
                match broken {
                    Some(error) if can_resume(&error) && tries < RESUMES => {
                        tries += 1;
                        resumed += 1;
                        self.rest(tries);
                        continue 'resume;
                    }
                    Some(error) => return Err(self.asked.error(&error)),
                    None if is_over => return Ok(Ok(resumed)),
                    None => {}
                }
            }
        }
    }

    /// Waits a little, longer after each failure in a row.
    fn rest(&self, tries: u32) {
        self.runtime
            .block_on(async { tokio::time::sleep(Duration::from_millis(50 << tries)).await });
    }

    /// Waits until something in the collection changes, and then until nothing has changed for
    /// `calm`; or until `is_over`. Returns whether something changed.
    ///
    /// # Errors
    /// The server is none that tells of changes (it is no replica set), does not answer or refuses.
    pub fn wait_for_change(
        &self,
        calm: Duration,
        is_over: &dyn Fn() -> bool,
    ) -> Result<bool, MongoError> {
        self.runtime.block_on(async {
            let watch = self.handle.clone_with_type::<Document>().watch().await;
            let mut changes = watch.map_err(|error| match code(&error) {
                Some(40573) => MongoError(
                    "the server tells of no changes: that needs a replica set, also of one member (`--replSet`)"
                        .to_owned(),
                ),
                _ => self.asked.error(&error),
            })?;
            let mut changed = false;
            let step = Duration::from_millis(200);
            let mut quiet = Duration::ZERO;
            loop {
                if is_over() {
                    return Ok(changed);
                }
                let wait = if changed { step.min(calm) } else { step };
                match tokio::time::timeout(wait, changes.next()).await {
                    Ok(Some(Ok(_))) => (changed, quiet) = (true, Duration::ZERO),
                    Ok(Some(Err(error))) if !can_resume(&error) => return Err(self.asked.error(&error)),
                    Ok(Some(Err(_)) | None) => return Ok(true),
                    Err(_) => quiet += wait,
                }
                if changed && quiet >= calm {
                    return Ok(true);
                }
            }
        })
    }
}

/// Loads documents into a collection, in the order in which they come.
///
/// # Errors
/// The server does not answer or refuses; `wipe` is not asked for and the collection has documents.
pub fn push(to: &Collection, documents: &[Document], wipe: bool) -> Result<u64, MongoError> {
    let session = to.open()?;
    let wrong = |error: DriverError| to.error(&error);
    session.runtime.block_on(async {
        let handle = session.handle.clone_with_type::<Document>();
        if wipe {
            handle.drop().await.map_err(wrong)?;
        }
        for some in documents.chunks(WRITE) {
            handle.insert_many(some).await.map_err(wrong)?;
        }
        Ok(documents.len() as u64)
    })
}

/// Sends a command to a database, both as MongoDB Extended JSON: for setting a server up.
///
/// # Errors
/// The command is no JSON object; the server does not answer or refuses.
pub fn command(to: &Collection, command: &str) -> Result<String, MongoError> {
    let command = parse(command)?;
    let session = to.open()?;
    let database = session.handle.client().database(&to.database);
    let answer = session
        .runtime
        .block_on(database.run_command(command).into_future());
    answer
        .map(|answer| key_text(&Bson::Document(answer)))
        .map_err(|error| to.error(&error))
}

/// Returns a text that is never the same twice: of what has no mark of its state.
pub fn moment() -> String {
    format!(
        "read whole at {} ms, {}",
        clock::SystemClock.now_ms(),
        std::process::id()
    )
}

fn both(a: Document, b: Document) -> Document {
    if a.is_empty() {
        b
    } else {
        doc! { "$and": [a, b] }
    }
}

fn at_path(document: &Document, path: &str) -> Option<Bson> {
    let mut value = None;
    let mut inner = document;
    for step in path.split('.') {
        value = inner.get(step);
        if let Some(Bson::Document(next)) = value {
            inner = next;
        }
    }
    value.cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_refused_wherever_they_stand() {
        for text in [
            r#"{"$where": "sleep(1000)"}"#,
            r#"{"a": {"$expr": {"$function": {"body": "x", "args": [], "lang": "js"}}}}"#,
            r#"{"$or": [{"b": 1}, {"$WHERE": "1"}]}"#,
            r#"{"a": {"$code": "1"}}"#,
        ] {
            assert!(parse(text).unwrap_err().0.contains("refused"), "{text}");
        }
        assert!(parse("[1]").is_err() && parse("{").is_err());
        let dated = parse(r#"{"at": {"$gte": {"$date": "2026-01-01T00:00:00Z"}}}"#).unwrap();
        assert!(matches!(
            dated.get_document("at").unwrap().get("$gte"),
            Some(Bson::DateTime(_))
        ));
    }

    #[test]
    fn a_password_is_found_as_written_and_as_meant() {
        let parts = password("mongodb://user:p%40ss%2F@host/?x=1");
        assert_eq!(
            parts.iter().map(Secret::reveal).collect::<Vec<_>>(),
            ["p%40ss%2F", "p@ss/"]
        );
        assert!(password("mongodb://host").is_empty());
    }
}
