//! Models behind HTTP: rows in, verdicts out, and what is known of the server.
//!
//! [`server`] puts it together and ends it; [`guard`] is what every request passes; [`call`] is one
//! request for verdicts, whichever form it comes in: [`score`] and [`score_stream`] (ours), [`infer`]
//! (Open Inference Protocol V2) and [`invocations`] (MLflow). [`slot`] holds the models, which are
//! swapped whole; [`observer`] is what happens beside the answers: a log of predictions, a challenger
//! that is asked unseen, drift of the rows that come.
//!
//! This room reads no pipeline and moves no ref.

pub mod admin;
pub mod api_document;
pub mod api_keys;
pub mod call;
pub mod connections;
pub mod guard;
pub mod handlers;
pub mod health;
pub mod infer;
pub mod invocations;
pub mod invocations_forms;
pub mod log_writer;
pub mod metrics;
pub mod observer;
pub mod options;
pub mod problem;
pub mod routes;
pub mod score;
pub mod score_stream;
pub mod served_model;
pub mod server;
pub mod shadow;
pub mod slot;
pub mod state;
pub mod tensors;
pub mod tls;
