//! The steps of preprocessing as nodes of ONNX.

use crate::export::error::ExportError;
use crate::export::onnx::graph::{OnnxGraph, int};
use crate::export::onnx::neighbours::knn;
use crate::export::onnx::two_classes::MISSING_CATEGORY;
use crate::prep::cells::CellKind;
use crate::prep::clip::{FittedClip, FittedLog1p};
use crate::prep::derive::{DerivedColumn, PairOp};
use crate::prep::encode::{
    CategoryEncoder, OneHot, OrdinalEncoder, UnknownCategory, of_category, of_rare,
};
use crate::prep::finite::FiniteReplacement;
use crate::prep::impute::{ColumnFill, FillMethod, Imputer, indicator};
use crate::prep::pca::{self, PrincipalComponents};
use crate::prep::quantile::QuantileScaler;
use crate::prep::scale::Scaler;
use crate::prep::step::FittedStep;
use crate::prep::target::TargetEncoder;

/// Where a column stands: in which matrix, at which place, of how many.
#[derive(Clone, Debug)]
struct ColumnPlace {
    name: String,
    kind: CellKind,
    matrix: String,
    at: usize,
    width: usize,
}

/// The columns on their way, and the graph that they are made in.
#[derive(Debug, Default)]
pub struct ColumnFlow {
    /// The graph.
    pub graph: OnnxGraph,
    places: Vec<ColumnPlace>,
}

impl ColumnFlow {
    /// Adds columns of a matrix.
    pub fn push(&mut self, names: &[String], kind: CellKind, matrix: &str) {
        for (at, name) in names.iter().enumerate() {
            let (name, matrix, width) = (name.clone(), matrix.to_owned(), names.len());
            self.places.push(ColumnPlace {
                name,
                kind,
                matrix,
                at,
                width,
            });
        }
    }

    /// Says that columns stand in a matrix from now on.
    fn set(&mut self, names: &[String], matrix: &str) {
        for (at, name) in names.iter().enumerate() {
            for place in self.places.iter_mut().filter(|place| place.name == *name) {
                (place.matrix, place.at, place.width) = (matrix.to_owned(), at, names.len());
            }
        }
    }

    fn remove(&mut self, names: &[String]) {
        self.places.retain(|place| !names.contains(&place.name));
    }

    /// Puts columns side by side, in this order.
    pub fn matrix(&mut self, names: &[String]) -> Result<String, ExportError> {
        let find = |name: &String| {
            self.places
                .iter()
                .find(|place| place.name == *name)
                .cloned()
        };
        let places: Vec<ColumnPlace> = names
            .iter()
            .map(|name| find(name).ok_or_else(|| ExportError::NoColumn(name.clone())))
            .collect::<Result<_, _>>()?;
        let mut parts = Vec::new();
        for run in places.chunk_by(|a, b| a.matrix == b.matrix) {
            let at: Vec<usize> = run.iter().map(|place| place.at).collect();
            let is_whole = at.len() == run[0].width && at.iter().copied().eq(0..run[0].width);
            parts.push(if is_whole {
                run[0].matrix.clone()
            } else {
                self.graph.columns(&run[0].matrix, &at)
            });
        }
        Ok(self.graph.beside(&parts))
    }

    /// Keeps what is missing missing, whatever else was made of it.
    fn unless_missing(&mut self, before: &str, after: &str) -> String {
        let missing = self.graph.node("IsNaN", &[before]);
        self.graph.node("Where", &[&missing, before, after])
    }

    /// Which of some words a column of text is: a column of zeros and ones each.
    fn words(&mut self, name: &String, words: &[String]) -> Result<String, ExportError> {
        let column = self.matrix(std::slice::from_ref(name))?;
        let words = self.graph.texts(&[1, words.len()], words);
        let is = self.graph.node("Equal", &[&column, &words]);
        Ok(self.graph.cast(&is))
    }

    /// Where a column is missing, as zeros and ones.
    fn missing(&mut self, name: &String) -> Result<String, ExportError> {
        let column = self.matrix(std::slice::from_ref(name))?;
        let is_text = self
            .places
            .iter()
            .any(|place| place.name == *name && place.kind == CellKind::Text);
        let is = match is_text {
            true => {
                let empty = self.graph.texts(&[1], &[String::new()]);
                self.graph.node("Equal", &[&column, &empty])
            }
            false => self.graph.node("IsNaN", &[&column]),
        };
        Ok(self.graph.cast(&is))
    }

    /// Carries a step out.
    ///
    /// # Errors
    /// ONNX has no operators for it.
    pub fn carry_out(&mut self, step: &FittedStep) -> Result<(), ExportError> {
        match step {
            FittedStep::Finite(step) => self.finite(step),
            FittedStep::Impute(step) => self.impute(step),
            FittedStep::Scale(step) => self.scale(step),
            FittedStep::Quantile(step) => self.quantile(step),
            FittedStep::Log1p(step) => self.log1p(step),
            FittedStep::Clip(step) => self.clip(step),
            FittedStep::OneHot(step) => self.onehot(step),
            FittedStep::Category(step) => self.category(step),
            FittedStep::Ordinal(step) => self.ordinal(step),
            FittedStep::Target(step) => self.target(step),
            FittedStep::Hash(_) => Err(ExportError::NoOperator("the step `hash`")),
            FittedStep::Drop(step) => {
                self.remove(&step.columns);
                Ok(())
            }
            FittedStep::Pca(step) => self.pca(step),
            FittedStep::Derive(step) => self.derive(step),
        }
    }

    fn finite(&mut self, step: &FiniteReplacement) -> Result<(), ExportError> {
        self.with_pairs(&step.columns, |graph, x, lows, highs| {
            let above = graph.with("IsInf", &[x], vec![int("detect_negative", 0)]);
            let below = graph.with("IsInf", &[x], vec![int("detect_positive", 0)]);
            let x = graph.node("Where", &[&above, highs, x]);
            graph.node("Where", &[&below, lows, &x])
        })
    }

    fn scale(&mut self, step: &Scaler) -> Result<(), ExportError> {
        self.with_pairs(&step.columns, |graph, x, shifts, factors| {
            let x = graph.node("Sub", &[x, shifts]);
            graph.node("Div", &[&x, factors])
        })
    }

    fn log1p(&mut self, step: &FittedLog1p) -> Result<(), ExportError> {
        let names: Vec<String> = step.columns.iter().map(|(name, _)| name.clone()).collect();
        self.row_by_row(&names, |graph, x| {
            let least = graph.row(step.columns.iter().map(|(_, least)| *least));
            let one = graph.double(1.0);
            let x = graph.node("Max", &[x, &least]);
            let x = graph.node("Add", &[&x, &one]);
            graph.node("Log", &[&x])
        })
    }

    fn clip(&mut self, step: &FittedClip) -> Result<(), ExportError> {
        self.with_pairs(&step.columns, |graph, x, lows, highs| {
            let x = graph.node("Max", &[x, lows]);
            graph.node("Min", &[&x, highs])
        })
    }

    /// Replaces columns of numbers by what is made of each cell and of two numbers of its column.
    fn with_pairs(
        &mut self,
        columns: &[(String, f64, f64)],
        make: impl Fn(&mut OnnxGraph, &str, &str, &str) -> String,
    ) -> Result<(), ExportError> {
        let names: Vec<String> = columns.iter().map(|(name, ..)| name.clone()).collect();
        self.row_by_row(&names, |graph, x| {
            let first = graph.row(columns.iter().map(|(_, first, _)| *first));
            let second = graph.row(columns.iter().map(|(.., second)| *second));
            make(graph, x, &first, &second)
        })
    }

    fn ordinal(&mut self, step: &OrdinalEncoder) -> Result<(), ExportError> {
        for (name, categories) in &step.columns {
            let values = (0..categories.len()).map(|at| at as f64).collect();
            self.valued(name, categories, values, -1.0)?;
        }
        Ok(())
    }

    fn category(&mut self, step: &CategoryEncoder) -> Result<(), ExportError> {
        for column in &step.columns {
            let name = &column.name;
            let missing = self.missing(name)?;
            let (zero, none) = (self.graph.double(0.0), self.graph.double(MISSING_CATEGORY));
            let is_missing = self.graph.node("Greater", &[&missing, &zero]);
            let rare = self.graph.double(column.rare().unwrap_or(MISSING_CATEGORY));
            let mut number = self.graph.node("Where", &[&is_missing, &none, &rare]);
            if !column.categories.is_empty() {
                let is = self.words(name, &column.categories)?;
                let count = column.categories.len();
                let numbers = (0..count).map(|number| number as f64);
                let numbers = self.graph.doubles(&[count, 1], numbers);
                let known = self.graph.node("MatMul", &[&is, &numbers]);
                let is_known = self.graph.sum(&is);
                let is_known = self.graph.node("Greater", &[&is_known, &zero]);
                number = self.graph.node("Where", &[&is_known, &known, &number]);
            }
            self.remove(std::slice::from_ref(name));
            self.push(std::slice::from_ref(name), CellKind::Number, &number);
        }
        Ok(())
    }

    fn target(&mut self, step: &TargetEncoder) -> Result<(), ExportError> {
        for (name, known) in &step.columns {
            let words: Vec<String> = known.keys().cloned().collect();
            let values = known.values().copied().collect();
            self.valued(name, &words, values, step.prior)?;
        }
        Ok(())
    }

    fn pca(&mut self, step: &PrincipalComponents) -> Result<(), ExportError> {
        let x = self.matrix(&step.columns)?;
        let (width, count) = step.directions.dim();
        let means = self.graph.row(step.means.iter().copied());
        let cells = step.directions.iter().copied();
        let directions = self.graph.doubles(&[width, count], cells);
        let x = self.graph.node("Sub", &[&x, &means]);
        let x = self.graph.node("MatMul", &[&x, &directions]);
        self.remove(&step.columns);
        let names: Vec<String> = (0..count).map(pca::named).collect();
        self.push(&names, CellKind::Number, &x);
        Ok(())
    }

    fn derive(&mut self, step: &DerivedColumn) -> Result<(), ExportError> {
        let a = self.matrix(std::slice::from_ref(&step.first))?;
        let b = self.matrix(std::slice::from_ref(&step.second))?;
        let made = match step.how {
            PairOp::Difference => self.graph.node("Sub", &[&a, &b]),
            PairOp::Ratio => {
                let zero = self.graph.double(0.0);
                let missing = self.graph.double(f64::NAN);
                let is_zero = self.graph.node("Equal", &[&b, &zero]);
                let ratio = self.graph.node("Div", &[&a, &b]);
                self.graph.node("Where", &[&is_zero, &missing, &ratio])
            }
        };
        self.push(std::slice::from_ref(&step.name), CellKind::Number, &made);
        Ok(())
    }

    /// Replaces columns of numbers by what is made of each cell; what is missing stays so.
    fn row_by_row(
        &mut self,
        names: &[String],
        make: impl Fn(&mut OnnxGraph, &str) -> String,
    ) -> Result<(), ExportError> {
        if names.is_empty() {
            return Ok(());
        }
        let before = self.matrix(names)?;
        let after = make(&mut self.graph, &before);
        let after = self.unless_missing(&before, &after);
        self.set(names, &after);
        Ok(())
    }

    /// Replaces a column of text by a number for each word, and another for all others.
    fn valued(
        &mut self,
        name: &String,
        words: &[String],
        values: Vec<f64>,
        other: f64,
    ) -> Result<(), ExportError> {
        let value = match words.is_empty() {
            true => {
                let missing = self.missing(name)?;
                let (zero, other) = (self.graph.double(0.0), self.graph.double(other));
                let none = self.graph.node("Mul", &[&missing, &zero]);
                self.graph.node("Add", &[&none, &other])
            }
            false => {
                let is = self.words(name, words)?;
                let values = self.graph.doubles(
                    &[values.len(), 1],
                    values.into_iter().map(|value| value - other),
                );
                let (value, other) = (
                    self.graph.node("MatMul", &[&is, &values]),
                    self.graph.double(other),
                );
                self.graph.node("Add", &[&value, &other])
            }
        };
        self.remove(std::slice::from_ref(name));
        self.push(std::slice::from_ref(name), CellKind::Number, &value);
        Ok(())
    }

    fn onehot(&mut self, step: &OneHot) -> Result<(), ExportError> {
        for (name, categories, rare) in &step.columns {
            let mut parts = Vec::new();
            let mut names: Vec<String> = categories
                .iter()
                .map(|category| of_category(name, category))
                .collect();
            if !categories.is_empty() {
                parts.push(self.words(name, categories)?);
            }
            if step.has_rare(rare) {
                names.push(of_rare(name));
                let one = self.graph.double(1.0);
                parts.push(match (step.unknown, parts.first().cloned()) {
                    (UnknownCategory::Rare, known) => {
                        let missing = self.missing(name)?;
                        let other = self.graph.node("Sub", &[&one, &missing]);
                        match known {
                            Some(known) => {
                                let known = self.graph.sum(&known);
                                self.graph.node("Sub", &[&other, &known])
                            }
                            None => other,
                        }
                    }
                    (..) => {
                        let is = self.words(name, rare)?;
                        self.graph.sum(&is)
                    }
                });
            }
            if !parts.is_empty() {
                let whole = self.graph.beside(&parts);
                self.push(&names, CellKind::Number, &whole);
            }
            self.remove(std::slice::from_ref(name));
        }
        Ok(())
    }

    /// Of every value the place among quantiles: a table by how many different quantiles are not
    /// above it.
    fn quantile(&mut self, step: &QuantileScaler) -> Result<(), ExportError> {
        if step.normal {
            let what = "a normal distribution, as `quantile: {to: normal}` needs";
            return Err(ExportError::NoOperator(what));
        }
        for (name, quantiles) in &step.columns {
            let last = quantiles.len() - 1;
            let of = |at: usize| at as f64 / last as f64;
            let mut runs: Vec<(f64, f64, f64)> = Vec::new();
            let mut place = 0;
            for run in quantiles.chunk_by(|a, b| a == b) {
                runs.push((run[0], of(place), of(place + run.len() - 1)));
                place += run.len();
            }
            // By number of runs not above: the value of the last, what is told there, what is told
            // above it, and its slope.
            let mut table = vec![(0.0, 0.0, 0.0, 0.0)];
            for (at, (value, low, high)) in runs.iter().enumerate() {
                let there = if at == 0 {
                    0.0
                } else if at + 1 == runs.len() {
                    1.0
                } else {
                    f64::midpoint(*low, *high)
                };
                let slope = runs
                    .get(at + 1)
                    .map_or(0.0, |(next, share, _)| (share - high) / (next - value));
                table.push((
                    *value,
                    there,
                    if at + 1 == runs.len() { 1.0 } else { *high },
                    slope,
                ));
            }
            self.row_by_row(std::slice::from_ref(name), |graph, x| {
                let borders: Vec<f64> = runs.iter().map(|(value, ..)| *value).collect();
                let column = |of: fn(&(f64, f64, f64, f64)) -> f64| {
                    table.iter().map(of).collect::<Vec<f64>>()
                };
                let tables = [
                    column(|t| t.0),
                    column(|t| t.1),
                    column(|t| t.2),
                    column(|t| t.3),
                ];
                let [value, there, high, slope] = graph.looked_up(x, &borders, tables);
                let is_there = graph.node("Equal", &[x, &value]);
                let beyond = graph.node("Sub", &[x, &value]);
                let beyond = graph.node("Mul", &[&beyond, &slope]);
                let beyond = graph.node("Add", &[&beyond, &high]);
                graph.node("Where", &[&is_there, &there, &beyond])
            })?;
        }
        Ok(())
    }

    fn impute(&mut self, step: &Imputer) -> Result<(), ExportError> {
        for name in &step.indicated {
            let missing = self.missing(name)?;
            self.push(&[indicator(name)], CellKind::Number, &missing);
        }
        match &step.fill {
            FillMethod::Knn(imputer) if !step.columns.is_empty() => {
                let x = self.matrix(&step.columns)?;
                let filled = knn(&mut self.graph, &x, imputer);
                self.set(&step.columns, &filled);
            }
            FillMethod::Knn(_) => {}
            FillMethod::Each(fillings) => {
                for (name, filling) in step.columns.iter().zip(fillings) {
                    let x = self.matrix(std::slice::from_ref(name))?;
                    let (missing, fill) = match filling {
                        ColumnFill::Number(number) => {
                            (self.graph.node("IsNaN", &[&x]), self.graph.double(*number))
                        }
                        ColumnFill::Text(text) => {
                            let empty = self.graph.texts(&[1], &[String::new()]);
                            (
                                self.graph.node("Equal", &[&x, &empty]),
                                self.graph.texts(&[1], std::slice::from_ref(text)),
                            )
                        }
                    };
                    let filled = self.graph.node("Where", &[&missing, &fill, &x]);
                    self.set(std::slice::from_ref(name), &filled);
                }
            }
        }
        Ok(())
    }
}
