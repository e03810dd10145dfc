//! Rows that were set aside: their number and the rules they break, over all parts of a table.

use crate::frame::codec;
use crate::frame::table::{ColumnType, Table};
use crate::kinds::dataset::DatasetWriter;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::Outputs;

/// Rows that were picked from parts, numbered anew.
#[derive(Default)]
pub(crate) struct QuarantinedRows(Vec<Table>);

impl QuarantinedRows {
    /// Adds rows of a part that begins after so many rows; their numbers count from one over the
    /// whole table.
    ///
    /// # Errors
    /// The bytes are no such table.
    pub(crate) fn add(
        &mut self,
        bytes: &[u8],
        column: &str,
        before: u64,
    ) -> Result<(), StageError> {
        let table = codec::decode(bytes.to_vec())?;
        if table.height() > 0 {
            let numbers = table.numbers(column)?;
            let rows = numbers
                .into_iter()
                .map(|row| row as i64 + before as i64 + 1)
                .collect();
            let rest = table.without(&[column.to_owned()])?;
            self.0
                .push(Table::of_ints(column, rows).and_then(|rows| rows.beside(&rest))?);
        }
        Ok(())
    }

    /// Gives them as an output.
    ///
    /// # Errors
    /// They cannot be kept.
    pub(crate) fn finish(
        self,
        outputs: &mut Outputs,
        port: &str,
        columns: &[(String, ColumnType)],
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let mut writer = DatasetWriter::default();
        let none = Table::of_none(columns)?;
        // The empty table tells the columns where there are no rows.
        writer.put(&none, context)?;
        for table in self.0 {
            writer.put(&table, context)?;
        }
        writer.finish(outputs, port, context).map(|_| ())
    }
}
