//! What a server tells of rows is what `netsec predict` tells of them, bit for bit, in whichever form
//! they come.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::serve::client::{
    TREES, TestServer, flows, predicted, records, trained, trained_to_review, trained_with, worded,
};

/// The bits of a probability, to be compared.
fn bits(value: &Value) -> Option<u64> {
    value.as_f64().map(f64::to_bits)
}

#[test]
fn rows_get_the_same_verdicts_in_every_form() {
    let world = trained(TREES);
    let csv = flows(300, 2);
    world.write("new.csv", &csv);
    let expected = predicted(&world, "new.csv");
    assert!(expected.iter().any(|(_, alarm, _)| *alarm == Some(true)));
    assert!(expected.iter().all(|(_, _, error)| error.is_empty()));
    let server = TestServer::start(&world, &[]);
    let same = |probabilities: Vec<Option<u64>>, form: &str| {
        let expected: Vec<Option<u64>> = expected
            .iter()
            .map(|(probability, ..)| probability.map(f64::to_bits))
            .collect();
        assert_eq!(probabilities, expected, "{form}");
    };

    let records = records(&csv, &mut Dice(3));
    let rows = records.join(",");
    let scored = server.post("/v1/score", &format!("{{\"rows\": [{rows}]}}"));
    assert_eq!(scored.status, 200, "{}", scored.text());
    let told = scored.json();
    assert_eq!(told["model"], "flows");
    assert_eq!(told["digest"].as_str(), scored.header("x-netsec-model"));
    let verdicts = told["rows"].as_array().unwrap();
    same(
        verdicts
            .iter()
            .map(|row| bits(&row["probability"]))
            .collect(),
        "score",
    );
    for (row, (_, alarm, _)) in verdicts.iter().zip(&expected) {
        assert_eq!(row["alarm"].as_bool(), *alarm);
        let class = if row["alarm"] == true {
            "attack"
        } else {
            "benign"
        };
        assert_eq!(row["class"], class);
    }

    world.write("new.ndjson", records.join("\n") + "\n");
    let from_lines: Vec<Option<u64>> = predicted(&world, "new.ndjson")
        .iter()
        .map(|(probability, ..)| probability.map(f64::to_bits))
        .collect();
    let first = from_lines[0];
    same(from_lines, "predict of NDJSON");

    let lines = records.join("\n\n");
    let kind = [("content-type", "application/x-ndjson")];
    let marked = format!("\u{feff}{}", records[0]);
    let told = server
        .send("POST", "/v1/score/stream", &kind, marked.as_bytes())
        .json();
    assert_eq!(bits(&told["probability"]), first, "{told}");
    let streamed = server.send("POST", "/v1/score/stream", &kind, lines.as_bytes());
    let streamed: Vec<Value> = streamed
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    same(
        streamed
            .iter()
            .map(|row| bits(&row["probability"]))
            .collect(),
        "stream",
    );
    assert_eq!(streamed[1]["line"], 3, "empty lines are counted");

    for (form, body) in mlflow_forms(&csv, &rows) {
        let told = server.post("/invocations", &body);
        assert_eq!(told.status, 200, "{form}: {}", told.text());
        let told = told.json();
        let predictions = told["predictions"].as_array().unwrap();
        same(
            predictions
                .iter()
                .map(|row| bits(&row["probability"]))
                .collect(),
            form,
        );
    }
    let kind = [("content-type", "text/csv; charset=utf-8")];
    let told = server
        .send("POST", "/invocations", &kind, csv.as_bytes())
        .json();
    let predictions = told["predictions"].as_array().unwrap();
    same(
        predictions
            .iter()
            .map(|row| bits(&row["probability"]))
            .collect(),
        "CSV",
    );

    let told = server.post("/v2/models/flows/infer", &tensors(&csv).to_string());
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    assert_eq!(
        (&told["id"], &told["model_name"]),
        (&json!("it"), &json!("flows"))
    );
    assert_eq!(told["outputs"][0]["name"], "probability");
    let probabilities = told["outputs"][0]["data"].as_array().unwrap();
    same(probabilities.iter().map(bits).collect(), "tensors");
    let alarms: Vec<Option<bool>> = told["outputs"][1]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::as_bool)
        .collect();
    let expected_alarms: Vec<_> = expected.iter().map(|(_, alarm, _)| *alarm).collect();
    assert_eq!(alarms, expected_alarms);

    let (head, raw) = raw_tensors(&csv);
    let length = head.len().to_string();
    let kinds = [
        ("content-type", "application/octet-stream"),
        ("inference-header-content-length", length.as_str()),
    ];
    let body = [head.as_bytes(), &raw].concat();
    let told = server.send("POST", "/v2/models/flows/infer", &kinds, &body);
    assert_eq!(told.status, 200, "{}", told.text());
    let length: usize = told
        .header("inference-header-content-length")
        .unwrap()
        .parse()
        .unwrap();
    let (head, raw) = told.body.split_at(length);
    let head: Value = serde_json::from_slice(head).unwrap();
    assert_eq!(
        head["outputs"][0]["parameters"]["binary_data_size"],
        8 * expected.len()
    );
    let (cells, _) = raw.as_chunks::<8>();
    let probabilities = cells[..expected.len()].iter();
    same(
        probabilities
            .map(|cell| Some(u64::from_le_bytes(*cell)))
            .collect(),
        "raw tensors",
    );
}

/// The cells of a table, column by column.
fn columns(csv: &str) -> Vec<(&str, Vec<&str>)> {
    let mut lines = csv.lines();
    let names = lines.next().unwrap().split(',');
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    names
        .enumerate()
        .map(|(at, name)| (name, rows.iter().map(|row| row[at]).collect()))
        .collect()
}

fn cell(text: &str) -> Value {
    match (text, text.parse::<f64>()) {
        ("", _) => Value::Null,
        (_, Ok(_)) => serde_json::from_str(text).unwrap(),
        _ => Value::from(text),
    }
}

/// A table in the forms of MLflow; `records` are its rows.
fn mlflow_forms(csv: &str, records: &str) -> Vec<(&'static str, String)> {
    let columns = columns(csv);
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let row =
        |at: usize| -> Vec<Value> { columns.iter().map(|(_, cells)| cell(cells[at])).collect() };
    let rows: Vec<Vec<Value>> = (0..columns[0].1.len()).map(row).collect();
    // The model does not need the label.
    let needed: Vec<Vec<Value>> = rows.iter().map(|row| row[..5].to_vec()).collect();
    let by_name: serde_json::Map<String, Value> = columns
        .iter()
        .map(|(name, cells)| {
            let cells: Vec<Value> = cells.iter().map(|text| cell(text)).collect();
            ((*name).to_owned(), Value::from(cells))
        })
        .collect();
    let split = json!({"index": [], "data": rows, "columns": names});
    vec![
        (
            "dataframe_split",
            json!({"dataframe_split": split}).to_string(),
        ),
        (
            "dataframe_records",
            format!("{{\"dataframe_records\": [{records}]}}"),
        ),
        (
            "instances, records",
            format!("{{\"params\": {{}}, \"instances\": [{records}]}}"),
        ),
        ("instances, lists", json!({"instances": needed}).to_string()),
        ("inputs, columns", json!({"inputs": by_name}).to_string()),
        ("inputs, lists", json!({"inputs": needed}).to_string()),
    ]
}

/// A table as tensors in JSON; what is missing is NaN's stand-in, text that is empty.
fn tensors(csv: &str) -> Value {
    let tensor = |(name, cells): &(&str, Vec<&str>)| {
        let is_text = *name == "bytes" || cells.iter().any(|text| text.parse::<f64>().is_err());
        let data: Vec<Value> = match is_text {
            true => cells.iter().map(|text| Value::from(*text)).collect(),
            false => cells.iter().map(|text| cell(text)).collect(),
        };
        let datatype = match (is_text, *name) {
            (true, _) => "BYTES",
            (_, "id.orig_p") => "INT64",
            _ => "FP64",
        };
        json!({"name": name, "shape": [cells.len(), 1], "datatype": datatype, "data": data})
    };
    let inputs: Vec<Value> = columns(csv).iter().map(tensor).collect();
    json!({"id": "it", "inputs": inputs})
}

/// The same with all cells behind the JSON.
fn raw_tensors(csv: &str) -> (String, Vec<u8>) {
    let mut raw = Vec::new();
    let mut inputs = Vec::new();
    for (name, cells) in columns(csv) {
        let before = raw.len();
        let datatype = match name {
            "duration" | "bytes" => "FP64",
            "id.orig_p" => "INT32",
            _ => "BYTES",
        };
        for text in &cells {
            match datatype {
                "FP64" => raw.extend(text.parse().unwrap_or(f64::NAN).to_le_bytes()),
                "INT32" => raw.extend(text.parse::<i32>().unwrap().to_le_bytes()),
                _ => {
                    raw.extend((text.len() as u32).to_le_bytes());
                    raw.extend(text.as_bytes());
                }
            }
        }
        inputs.push(json!({
            "name": name, "shape": [cells.len()], "datatype": datatype,
            "parameters": {"binary_data_size": raw.len() - before},
        }));
    }
    let head = json!({"inputs": inputs, "parameters": {"binary_data_output": true}});
    (head.to_string(), raw)
}

#[test]
fn rows_left_to_review_are_told_as_a_tensor() {
    let world = trained_to_review();
    let csv = flows(300, 2);
    world.write("new.csv", &csv);
    let scored = world.netsec(&["predict", "ref:champion/flows", "new.csv"]);
    let mut lines = scored.stdout.lines().map(|line| line.split(','));
    let mut head = lines.next().unwrap();
    let at = head.position(|name| name == "netsec_review").unwrap();
    let expected: Vec<Value> = lines
        .map(|mut cells| json!(cells.nth(at) == Some("true")))
        .collect();
    assert!(expected.contains(&json!(true)) && expected.contains(&json!(false)));
    let server = TestServer::start(&world, &[]);
    let told = server.post("/v2/models/flows/infer", &tensors(&csv).to_string());
    let told = told.json();
    assert_eq!(told["outputs"][2]["name"], "review");
    assert_eq!(told["outputs"][2]["datatype"], "BOOL");
    assert_eq!(told["outputs"][2]["data"].as_array(), Some(&expected));
    let metadata = server.get("/v2/models/flows").json();
    assert_eq!(metadata["outputs"][2]["name"], "review");
}

#[test]
fn a_word_for_missing_values_is_one_wherever_rows_come_from() {
    let world = trained_with("-");
    let csv = flows(200, 2);
    world.write("empty.csv", &csv);
    world.write("worded.csv", worded(&csv, "-"));
    let expected = predicted(&world, "empty.csv");
    assert!(expected.iter().all(|(.., error)| error.is_empty()));
    assert_eq!(predicted(&world, "worded.csv"), expected);
    let probability = |(told, ..): &(Option<f64>, _, _)| told.map(f64::to_bits);
    let expected: Vec<Option<u64>> = expected.iter().map(probability).collect();
    let csv = worded(&csv, "-");
    let records = records(&csv, &mut Dice(3));
    world.write("worded.ndjson", records.join("\n") + "\n");
    let of_lines = predicted(&world, "worded.ndjson");
    assert_eq!(
        of_lines.iter().map(probability).collect::<Vec<_>>(),
        expected
    );
    let server = TestServer::start(&world, &[]);
    let body = format!("{{\"rows\": [{}]}}", records.join(","));
    let told = server.post("/v1/score", &body).json();
    let each = told["rows"].as_array().unwrap().iter();
    let of_records: Vec<Option<u64>> = each.map(|row| bits(&row["probability"])).collect();
    assert_eq!(of_records, expected);
    let told = server.post("/v2/models/flows/infer", &tensors(&csv).to_string());
    let told = told.json();
    let each = told["outputs"][0]["data"].as_array().unwrap().iter();
    assert_eq!(each.map(bits).collect::<Vec<_>>(), expected, "{told}");
}

#[test]
fn a_row_is_judged_by_itself_and_says_why_it_is_not() {
    let world = trained(TREES);
    let server = TestServer::start(&world, &[]);
    let whole =
        r#"{"duration": 1.5, "id.orig_p": 80, "bytes": 10, "service": "http", "proto": "tcp"}"#;
    let odd = [
        (
            r#"{"id.orig_p": 80, "proto": "tcp"}"#,
            "`duration` is not there, and never missing in training",
        ),
        (r#"{}"#, "it has none of the columns that the model needs"),
        (
            r#"{"Duration": 1}"#,
            "it has none of the columns that the model needs",
        ),
        (r#"7"#, "this is JSON, but no object"),
        (r#"[1, [2]]"#, "this is JSON, but no object"),
        (
            r#"{"duration": "long", "id.orig_p": 80, "proto": "tcp"}"#,
            "`duration`: \"long\" is not a number",
        ),
        (
            r#"{"duration": "1e999", "id.orig_p": 80, "proto": "tcp"}"#,
            "`duration`: 1e999 overflows to infinity",
        ),
        (
            r#"{"duration": 1, "duration": 2, "id.orig_p": 80, "proto": "tcp"}"#,
            "the key `duration` stands twice in it",
        ),
        (
            r#"{"duration": [1, 2], "id.orig_p": 80, "proto": "tcp"}"#,
            "`duration`: \"[1,2]\" is not a number",
        ),
    ];
    let alone = server
        .post("/v1/score", &format!("{{\"rows\": [{whole}]}}"))
        .json();
    let alone = alone["rows"][0].clone();
    assert!(alone["probability"].is_f64(), "{alone}");
    let mut rows = String::new();
    for (record, _) in odd {
        let _ = write!(rows, "{record},{whole},");
    }
    let rows = rows.trim_end_matches(',');
    let told = server.post("/v1/score", &format!("{{\"rows\": [{rows}]}}"));
    assert_eq!(told.status, 200);
    let told = told.json();
    for ((record, why), pair) in odd.iter().zip(told["rows"].as_array().unwrap().chunks(2)) {
        assert_eq!(pair[0], json!({"error": why}), "{record}");
        assert_eq!(pair[1], alone, "a row beside {record}");
    }
    assert_eq!(
        server.metric(&format!(
            "netsec_rows_total{{model=\"flows\",digest=\"{}\",outcome=\"Error\"}}",
            &told["digest"].as_str().unwrap()[..12]
        )),
        9.0
    );
    // What may be missing may be left out, and is what null and the words for it are.
    let forms = [
        r#"{"duration": 1.5, "id.orig_p": 80, "proto": "tcp"}"#,
        r#"{"duration": 1.5, "id.orig_p": 80, "bytes": null, "service": "", "proto": "tcp"}"#,
        r#"{"proto": "tcp", "service": "NA", "bytes": "nan", "id": {"orig_p": "80"}, "duration": " 1.5 "}"#,
    ];
    let told = server
        .post("/v1/score", &format!("{{\"rows\": [{}]}}", forms.join(",")))
        .json();
    let rows = told["rows"].as_array().unwrap();
    assert!(
        rows.iter()
            .all(|row| *row == rows[0] && row["probability"].is_f64()),
        "{told}"
    );
}

#[test]
fn reasons_add_up_to_what_is_told() {
    let world = trained(TREES);
    let server = TestServer::start(&world, &[]);
    let row =
        r#"{"duration": 40, "id.orig_p": 80, "bytes": 9000, "service": "ssh", "proto": "tcp"}"#;
    let told = server
        .post(
            "/v1/score",
            &format!("{{\"rows\": [{row}, {{}}], \"explain\": 100}}"),
        )
        .json();
    assert_eq!(told["unit"], "log-odds");
    let first = &told["rows"][0];
    let reasons = first["reasons"].as_array().unwrap();
    let adds: Vec<f64> = reasons
        .iter()
        .map(|reason| reason["adds"].as_f64().unwrap())
        .collect();
    assert!(adds.windows(2).all(|pair| pair[0].abs() >= pair[1].abs()));
    let sum = first["base"].as_f64().unwrap() + adds.iter().sum::<f64>();
    let probability = 1.0 / (1.0 + (-sum).exp());
    assert!(
        (probability - first["probability"].as_f64().unwrap()).abs() < 1e-9,
        "{first}"
    );
    assert!(told["rows"][1]["error"].is_string());
    let top = server
        .post(
            "/v1/score",
            &format!("{{\"explain\": 1, \"rows\": [{row}]}}"),
        )
        .json();
    assert_eq!(top["rows"][0]["reasons"], json!([reasons[0]]));
    // The same as `netsec model explain` tells.
    world.write(
        "row.csv",
        "duration,id.orig_p,bytes,service,proto\n40,80,9000,ssh,tcp\n",
    );
    let explained = world.ok(&["model", "explain", "ref:champion/flows", "row.csv"]);
    let mut lines = explained
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    for reason in reasons {
        let at = names
            .iter()
            .position(|name| reason["column"] == *name)
            .unwrap();
        assert_eq!(
            reason["adds"].as_f64().unwrap(),
            values[at].parse::<f64>().unwrap()
        );
    }
}
