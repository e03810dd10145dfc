//! A bill of materials of a model: CycloneDX 1.6 with a model card, for whoever has to list what runs in
//! production and what it was made of.

use serde::Serialize;

use crate::attest::keys::sha256_hex;
use crate::base::digest::Digest;

/// What a bill tells of a model.
#[derive(Debug)]
pub struct BillFacts<'a> {
    /// What the model is called.
    pub name: &'a str,
    /// Its bytes.
    pub model: &'a [u8],
    /// The learner.
    pub learner: &'a str,
    /// The columns that it reads, each with its type.
    pub inputs: Vec<(&'a str, &'static str)>,
    /// Figures in cross-validation, with their intervals where there are any.
    pub figures: Vec<(&'a str, f64, Option<[f64; 2]>)>,
    /// Files and collections that it was made of: name and digest.
    pub sources: Vec<(String, Digest)>,
    /// The version of netsec.
    pub netsec: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BillOfMaterials {
    bom_format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: BillMetadata,
    components: Vec<BillComponent>,
    dependencies: Vec<BillDependency>,
}

#[derive(Serialize)]
struct BillMetadata {
    component: BillComponent,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BillComponent {
    #[serde(rename = "type")]
    sort: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<BillHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_card: Option<BillModelCard>,
}

#[derive(Serialize)]
struct BillHash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BillModelCard {
    model_parameters: BillModelParameters,
    quantitative_analysis: BillAnalysis,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BillModelParameters {
    task: &'static str,
    model_architecture: String,
    datasets: Vec<BillDatasetRef>,
    inputs: Vec<BillFormat>,
    outputs: Vec<BillFormat>,
}

#[derive(Serialize)]
struct BillDatasetRef {
    #[serde(rename = "ref")]
    reference: String,
}

#[derive(Serialize)]
struct BillFormat {
    format: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BillAnalysis {
    performance_metrics: Vec<BillMetric>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BillMetric {
    #[serde(rename = "type")]
    name: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence_interval: Option<BillInterval>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BillInterval {
    lower_bound: String,
    upper_bound: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BillDependency {
    #[serde(rename = "ref")]
    reference: String,
    depends_on: Vec<String>,
}

/// Returns a model's bill of materials as JSON.
///
/// # Panics
/// Never: plain data serialises.
pub fn ml_bom(facts: &BillFacts<'_>) -> Vec<u8> {
    let digest = Digest::of(facts.model);
    let model = format!("model:{}", digest.short());
    let sources: Vec<BillComponent> = facts.sources.iter().map(source).collect();
    let tool = BillComponent {
        sort: "application",
        bom_ref: "netsec".to_owned(),
        name: "netsec".to_owned(),
        version: facts.netsec.to_owned(),
        hashes: Vec::new(),
        model_card: None,
    };
    let mut depends_on: Vec<String> = sources
        .iter()
        .map(|source| source.bom_ref.clone())
        .collect();
    depends_on.push(tool.bom_ref.clone());
    let bill = BillOfMaterials {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        version: 1,
        metadata: BillMetadata {
            component: BillComponent {
                sort: "machine-learning-model",
                bom_ref: model.clone(),
                name: facts.name.to_owned(),
                version: digest.short(),
                hashes: vec![
                    BillHash {
                        alg: "SHA-256",
                        content: sha256_hex(facts.model),
                    },
                    BillHash {
                        alg: "BLAKE3",
                        content: digest.hex(),
                    },
                ],
                model_card: Some(card(facts, &sources)),
            },
        },
        components: sources.into_iter().chain([tool]).collect(),
        dependencies: vec![BillDependency {
            reference: model,
            depends_on,
        }],
    };
    serde_json::to_vec_pretty(&bill).expect("plain data serialises")
}

fn source((name, digest): &(String, Digest)) -> BillComponent {
    BillComponent {
        sort: "data",
        bom_ref: format!("data:{}", digest.short()),
        name: name.clone(),
        version: digest.short(),
        hashes: vec![BillHash {
            alg: "BLAKE3",
            content: digest.hex(),
        }],
        model_card: None,
    }
}

fn card(facts: &BillFacts<'_>, sources: &[BillComponent]) -> BillModelCard {
    let format = |format: &str| BillFormat {
        format: format.to_owned(),
    };
    let input = |(name, kind): &(&str, &'static str)| BillFormat {
        format: format!("{name}: {kind}"),
    };
    let metric = |(name, value, interval): &(&str, f64, Option<[f64; 2]>)| BillMetric {
        name: (*name).to_owned(),
        value: value.to_string(),
        confidence_interval: interval.map(|[low, high]| BillInterval {
            lower_bound: low.to_string(),
            upper_bound: high.to_string(),
        }),
    };
    BillModelCard {
        model_parameters: BillModelParameters {
            task: "classification",
            model_architecture: facts.learner.to_owned(),
            datasets: sources
                .iter()
                .map(|source| BillDatasetRef {
                    reference: source.bom_ref.clone(),
                })
                .collect(),
            inputs: facts.inputs.iter().map(input).collect(),
            outputs: vec![format("probability: number"), format("alarm: 0 or 1")],
        },
        quantitative_analysis: BillAnalysis {
            performance_metrics: facts.figures.iter().map(metric).collect(),
        },
    }
}
