//! Trees over binned features: decision tree, random forest, extra trees, gradient boosting,
//! AdaBoost.
//!
//! They are our own because smartcore's are slower than scikit-learn's, its classifier forest skips
//! splits between tied values (an AUC of .927 where .996 is right), and neither SHAP values nor
//! ONNX can be had from inside them.

pub mod bins;
pub mod boost;
pub mod ensemble;
pub mod forest;
pub mod grow;
pub mod leafwise;
pub mod learners;
pub mod shap;
pub mod splits;
pub mod tree;
