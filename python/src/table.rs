//! Tables as Arrow arrays, handed over by the PyCapsule interface: whoever takes one shares its memory.
//!
//! The interface: "The Arrow PyCapsule Interface", Apache Arrow, format version 1.

use std::sync::Arc;

use arrow_array::ffi::FFI_ArrowSchema;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::Int16Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int16Array, RecordBatch, RecordBatchIterator,
    StringArray, UInt32Array, UInt64Array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{Field, Schema};
use metron_sim::commands::{TableColumn, TableValues};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// A table in memory.
#[pyclass(frozen, module = "metron_sim._native")]
pub(crate) struct Table(RecordBatch);

fn wrong(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

impl Table {
    /// Takes columns of one length.
    pub(crate) fn new(columns: Vec<TableColumn>) -> PyResult<Table> {
        let mut fields = Vec::with_capacity(columns.len());
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for column in columns {
            let (name, nulls) = (column.name, column.known.map(NullBuffer::from));
            let nullable = nulls.is_some();
            let array: ArrayRef = match column.values {
                TableValues::Small(values) => Arc::new(UInt32Array::new(values.into(), nulls)),
                TableValues::Counts(values) => Arc::new(UInt64Array::new(values.into(), nulls)),
                TableValues::Numbers(values) => Arc::new(Float64Array::new(values.into(), nulls)),
                TableValues::Names { names, rows } => {
                    let keys = Int16Array::new(rows.into(), nulls);
                    // A name for those rows that have none: they are null.
                    let names = if names.is_empty() { vec![String::new()] } else { names };
                    let names = Arc::new(StringArray::from(names));
                    Arc::new(DictionaryArray::<Int16Type>::try_new(keys, names).map_err(wrong)?)
                }
                TableValues::Texts(texts) => Arc::new(StringArray::from(texts)),
                _ => return Err(wrong("a kind of column that is not known here")),
            };
            fields.push(Field::new(name, array.data_type().clone(), nullable));
            arrays.push(array);
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Table(RecordBatch::try_new(schema, arrays).map_err(wrong)?))
    }
}

#[pymethods]
impl Table {
    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    /// Names of the columns.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        self.0.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Bytes of memory that it holds.
    #[getter]
    fn nbytes(&self) -> usize {
        self.0.get_array_memory_size()
    }

    /// The rows as an Arrow stream of one batch. The schema that is wished for is not heeded, as the
    /// interface allows.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let batches = RecordBatchIterator::new([Ok(self.0.clone())], self.0.schema());
        let stream = FFI_ArrowArrayStream::new(Box::new(batches));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    /// The columns' names and types.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.0.schema().as_ref()).map_err(wrong)?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }
}
