//! A graph of ONNX under construction.

use crate::export::onnx::proto::{
    AttributeProto, DOUBLE, GraphProto, INT64, NodeProto, STRING, ShapeDimension, TensorProto,
    TensorShapeProto, TensorType, TypeProto, UINT8, ValueInfoProto,
};

/// The domain of the operators for machine learning.
pub const ML: &str = "ai.onnx.ml";

/// The types of attributes.
const INT: i32 = 2;
const TENSOR: i32 = 4;
const INTS: i32 = 7;

/// An attribute: a number.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i: value,
        r#type: INT,
        ..Default::default()
    }
}

/// An attribute: numbers.
pub fn ints(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values,
        r#type: INTS,
        ..Default::default()
    }
}

/// An attribute: a tensor.
pub fn tensor(name: &str, value: TensorProto) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        t: Some(value),
        r#type: TENSOR,
        ..Default::default()
    }
}

/// A tensor of numbers.
pub fn doubles(dims: &[usize], cells: impl IntoIterator<Item = f64>) -> TensorProto {
    let raw_data = cells.into_iter().flat_map(f64::to_le_bytes).collect();
    TensorProto {
        dims: dims.iter().map(|dim| *dim as i64).collect(),
        data_type: DOUBLE,
        raw_data,
        ..Default::default()
    }
}

/// A tensor of bytes.
pub fn bytes(cells: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: vec![cells.len() as i64],
        data_type: UINT8,
        raw_data: cells,
        ..Default::default()
    }
}

/// What flows in or out: one value a row.
pub fn a_row(name: &str, elem_type: i32) -> ValueInfoProto {
    flow(name, elem_type, Vec::new())
}

/// What flows in or out: so many values a row.
pub fn rows_of(name: &str, elem_type: i32, values: usize) -> ValueInfoProto {
    let values = ShapeDimension {
        dim_value: Some(values as i64),
        dim_param: String::new(),
    };
    flow(name, elem_type, vec![values])
}

fn flow(name: &str, elem_type: i32, values: Vec<ShapeDimension>) -> ValueInfoProto {
    let rows = ShapeDimension {
        dim_value: None,
        dim_param: "rows".to_owned(),
    };
    let dim = std::iter::once(rows).chain(values).collect();
    let shape = Some(TensorShapeProto { dim });
    let r#type = Some(TypeProto {
        tensor_type: Some(TensorType { elem_type, shape }),
    });
    ValueInfoProto {
        name: name.to_owned(),
        r#type,
    }
}

/// Nodes and constants; what is made goes by numbers behind a slash, so that no column is called
/// alike.
#[derive(Debug, Default)]
pub struct OnnxGraph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    count: usize,
}

impl OnnxGraph {
    fn fresh(&mut self) -> String {
        self.count += 1;
        format!("/{}", self.count)
    }

    /// Adds a node with several outputs.
    pub fn many(
        &mut self,
        (domain, kind): (&str, &str),
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<String> {
        let output: Vec<String> = (0..outputs).map(|_| self.fresh()).collect();
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: output.clone(),
            name: format!("{kind}{}", self.count),
            op_type: kind.to_owned(),
            attribute,
            domain: domain.to_owned(),
        });
        output
    }

    /// Adds a node with attributes.
    pub fn with(&mut self, kind: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.many(("", kind), inputs, attributes, 1).remove(0)
    }

    /// Adds a node.
    pub fn node(&mut self, kind: &str, inputs: &[&str]) -> String {
        self.with(kind, inputs, Vec::new())
    }

    /// Adds a node that gives a result of the whole graph its name.
    pub fn named(&mut self, from: &str, name: &str) {
        let node = NodeProto {
            input: vec![from.to_owned()],
            output: vec![name.to_owned()],
            name: format!("Result {name}"),
            op_type: "Identity".to_owned(),
            ..Default::default()
        };
        self.nodes.push(node);
    }

    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = self.fresh();
        self.constants.push(TensorProto {
            name: name.clone(),
            ..tensor
        });
        name
    }

    /// Adds numbers.
    pub fn doubles(&mut self, dims: &[usize], cells: impl IntoIterator<Item = f64>) -> String {
        self.constant(doubles(dims, cells))
    }

    /// Adds a row of numbers.
    pub fn row(&mut self, cells: impl IntoIterator<Item = f64>) -> String {
        let cells: Vec<f64> = cells.into_iter().collect();
        self.doubles(&[1, cells.len()], cells)
    }

    /// Adds a number.
    pub fn double(&mut self, cell: f64) -> String {
        self.doubles(&[1], [cell])
    }

    /// Adds whole numbers.
    pub fn ints(&mut self, cells: &[i64]) -> String {
        let raw_data = cells.iter().flat_map(|cell| cell.to_le_bytes()).collect();
        self.constant(TensorProto {
            dims: vec![cells.len() as i64],
            data_type: INT64,
            raw_data,
            ..Default::default()
        })
    }

    /// Adds texts.
    pub fn texts(&mut self, dims: &[usize], cells: &[String]) -> String {
        let dims = dims.iter().map(|dim| *dim as i64).collect();
        let string_data = cells.iter().map(|cell| cell.clone().into_bytes()).collect();
        self.constant(TensorProto {
            dims,
            data_type: STRING,
            string_data,
            ..Default::default()
        })
    }

    /// Makes something numbers.
    pub fn cast(&mut self, from: &str) -> String {
        self.with("Cast", &[from], vec![int("to", i64::from(DOUBLE))])
    }

    /// Takes some columns of a matrix.
    pub fn columns(&mut self, from: &str, at: &[usize]) -> String {
        let at = self.ints(&at.iter().map(|at| *at as i64).collect::<Vec<_>>());
        self.with("Gather", &[from, &at], vec![int("axis", 1)])
    }

    /// Sums the columns of a matrix into one.
    pub fn sum(&mut self, from: &str) -> String {
        let axes = self.ints(&[1]);
        self.node("ReduceSum", &[from, &axes])
    }

    /// Looks values of a column up in tables, by how many of some numbers, which rise, are not
    /// above them.
    pub fn looked_up<const N: usize>(
        &mut self,
        x: &str,
        borders: &[f64],
        tables: [Vec<f64>; N],
    ) -> [String; N] {
        let borders = self.doubles(&[1, borders.len()], borders.iter().copied());
        let above = self.node("GreaterOrEqual", &[x, &borders]);
        let above = self.cast(&above);
        let count = self.sum(&above);
        let count = self.with("Cast", &[&count], vec![int("to", i64::from(INT64))]);
        tables.map(|table| {
            let table = self.doubles(&[table.len()], table);
            self.with("Gather", &[&table, &count], vec![int("axis", 0)])
        })
    }

    /// Puts matrices side by side.
    pub fn beside(&mut self, parts: &[String]) -> String {
        match parts {
            [one] => one.clone(),
            _ => {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                self.with("Concat", &parts, vec![int("axis", 1)])
            }
        }
    }

    /// Ends the graph.
    pub fn finish(
        self,
        name: &str,
        input: Vec<ValueInfoProto>,
        output: Vec<ValueInfoProto>,
    ) -> GraphProto {
        GraphProto {
            node: self.nodes,
            name: name.to_owned(),
            initializer: self.constants,
            input,
            output,
        }
    }
}
