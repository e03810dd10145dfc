//! Trees over binned features, and what is made of many: bins, growth, forests, boosting, and exact
//! SHAP values. What a learner is, and that it has hyperparameters, stands in `model`.
//!
//! They are our own because smartcore's are slower than scikit-learn's, its classifier forest skips
//! splits between tied values (an AUC of .927 where .996 is right), and neither SHAP values nor
//! ONNX can be had from inside them.

pub mod bin_code;
pub mod bin_sums;
pub mod bins;
pub mod boost;
pub mod boost_classes;
pub mod categories;
pub mod category_splits;
pub mod class_ensemble;
pub mod class_members;
pub mod compact;
pub mod cut_gains;
pub mod ensemble;
pub mod forest;
pub mod grow;
pub mod grow_classes;
pub mod held_out;
pub mod histograms;
pub mod isolation;
pub mod leafwise;
pub mod packs;
pub mod shap;
pub mod splits;
pub mod stop;
pub mod tree;
