//! Why a bucket did not do what was asked.

use object_store::Error as ObjectError;

use crate::base::digest::Digest;

/// Why a bucket did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The address is none.
    #[error("`{url}` is no address of a bucket: {why}")]
    Address {
        /// The address.
        url: String,
        /// Why.
        why: String,
    },
    /// A variable of the environment says something that cannot be.
    #[error("{variable}: {why}")]
    Setting {
        /// Its name.
        variable: &'static str,
        /// Why.
        why: String,
    },
    /// The bucket does not let this user in.
    #[error(
        "the bucket does not let this user in: look at the keys in the environment, and at what they may do"
    )]
    Denied,
    /// Something else went wrong.
    #[error("the bucket failed at `{name}`: {why}")]
    Failed {
        /// The object.
        name: String,
        /// Why.
        why: String,
    },
    /// A blob is not there.
    #[error("the blob {} is not there", .0.short())]
    Gone(Digest),
    /// This side failed.
    #[error("{0}")]
    Local(String),
    /// An object is not what its name says.
    #[error("`{0}` was changed in the bucket: its bytes are not those of its name")]
    Changed(String),
}

/// What comes of a question to a bucket.
pub(crate) type BucketResult<T> = Result<T, BucketError>;

/// Takes the library's error at an object.
pub(crate) fn failed(name: &str, error: &ObjectError) -> BucketError {
    match error {
        ObjectError::PermissionDenied { .. } | ObjectError::Unauthenticated { .. } => {
            BucketError::Denied
        }
        error => BucketError::Failed {
            name: name.to_owned(),
            why: plain(error),
        },
    }
}

/// The library's words, on one line and not too many of them.
pub(crate) fn plain(error: &ObjectError) -> String {
    let text = error.to_string().replace('\n', " ");
    text.chars().take(300).collect()
}
