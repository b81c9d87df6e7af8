//! The Python face of `pageroles_core`: each method converts its arguments, releases the GIL, and wraps the result. Its
//! documentation is in `service/pageroles/_core.pyi`.

use std::sync::Arc;

use pageroles_core as core;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

create_exception!(
    pageroles._core,
    CoreError,
    PyException,
    "What the core refuses."
);
create_exception!(
    pageroles._core,
    AmbiguousPagesError,
    CoreError,
    "Two pages that only whole keys tell apart."
);

type Message<'py> = PyResult<Bound<'py, PyBytes>>;

/// Turns an error of the core into Python's. Both types are foreign here, so it can't be a `From`.
#[expect(clippy::needless_pass_by_value, reason = "as map_err calls")]
fn raise(error: core::Error) -> PyErr {
    match error {
        core::Error::Ambiguous => AmbiguousPagesError::new_err(error.to_string()),
        _ => CoreError::new_err(error.to_string()),
    }
}

fn limited(answer: core::Answer, limit: Option<usize>) -> core::Answer {
    match limit {
        Some(limit) => answer.limited_to(limit),
        None => answer,
    }
}

#[pyclass(module = "pageroles._core")]
struct Tally(core::Tally);

#[pymethods]
impl Tally {
    #[new]
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "Python names its arguments"
    )]
    fn new(
        touch_scope: i64,
        conversion_filter: bool,
        whole_keys: bool,
        balance: bool,
        landings: bool,
    ) -> PyResult<Self> {
        let scope = core::Scope::from_number(touch_scope).map_err(raise)?;
        let width = if whole_keys {
            core::KeyWidth::Whole
        } else {
            core::KeyWidth::Leading
        };
        let tally = core::Tally::new(scope, conversion_filter).with_keys(width);
        let tally = if balance { tally.with_balance() } else { tally };
        Ok(Self(if landings {
            tally.with_landings()
        } else {
            tally
        }))
    }

    fn begin_unit(&mut self, first: u64, last: u64) -> PyResult<()> {
        self.0.begin_unit(first, last).map_err(raise)
    }
    fn feed_sessions(&mut self, py: Python<'_>, chunk: &[u8]) -> PyResult<()> {
        py.detach(|| self.0.feed_sessions(chunk)).map_err(raise)
    }
    fn feed_conversions(&mut self, py: Python<'_>, chunk: &[u8]) -> PyResult<()> {
        py.detach(|| self.0.feed_conversions(chunk)).map_err(raise)
    }
    fn feed_users(&mut self, py: Python<'_>, chunk: &[u8]) -> PyResult<()> {
        py.detach(|| self.0.feed_users(chunk)).map_err(raise)
    }

    fn finish_unit(&mut self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.finish_unit()).map_err(raise)
    }

    fn merge(&mut self, py: Python<'_>, other: &mut Self) -> PyResult<()> {
        py.detach(|| self.0.merge(&mut other.0)).map_err(raise)
    }

    #[getter]
    fn rows(&self) -> u64 {
        self.0.rows()
    }

    fn take(&mut self) -> PyResult<Counted> {
        self.0.take().map(Counted).map_err(raise)
    }
}

#[pyclass(module = "pageroles._core")]
struct Counted(core::Counted);

#[pymethods]
impl Counted {
    #[getter]
    fn total_sessions(&self) -> u64 {
        self.0.totals().sessions
    }
    #[getter]
    fn total_users(&self) -> u64 {
        self.0.totals().users
    }
    #[getter]
    fn total_conversion_events(&self) -> u64 {
        self.0.totals().conversion_events
    }
    #[getter]
    fn total_conversion_users(&self) -> u64 {
        self.0.totals().conversion_users
    }

    fn page_count(&self, py: Python<'_>) -> usize {
        py.detach(|| self.0.page_count())
    }
    fn page_keys(&self, py: Python<'_>) -> Vec<u64> {
        py.detach(|| self.0.page_keys())
    }

    fn feed_pages(&mut self, py: Python<'_>, chunk: &[u8]) -> PyResult<()> {
        py.detach(|| self.0.feed_pages(chunk)).map_err(raise)
    }
    fn missing_pages(&self, py: Python<'_>) -> Vec<u64> {
        py.detach(|| self.0.missing_pages())
    }

    fn take_landings(&mut self, py: Python<'_>, other: &Self) {
        py.detach(|| self.0.take_landings(&other.0));
    }

    fn response<'py>(
        &mut self,
        py: Python<'py>,
        start_ms: i64,
        end_ms: i64,
        limit: Option<usize>,
    ) -> Message<'py> {
        let pieces = py.detach(|| {
            let answer = limited(self.0.answer(start_ms, end_ms)?, limit);
            Ok(self.0.read(|snapshot| answer.pieces(snapshot)))
        });
        joined(py, &pieces.map_err(raise)?)
    }

    fn responses(
        mut slf: PyRefMut<'_, Self>,
        start_ms: i64,
        end_ms: i64,
        limit: Option<usize>,
        max_bytes: usize,
    ) -> PyResult<Responses> {
        let (py, counted) = (slf.py(), &mut slf.0);
        let answer = py
            .detach(|| Ok(limited(counted.answer(start_ms, end_ms)?, limit)))
            .map_err(raise)?;
        let counted = slf.into();
        Ok(Responses {
            answer,
            counted,
            max_bytes,
        })
    }
}

/// What is asked of a domain in memory.
#[pyclass(module = "pageroles._core", frozen)]
struct Question(core::Question);

#[pymethods]
impl Question {
    #[new]
    fn new(
        touch_scope: i64,
        start_ms: i64,
        end_ms: i64,
        traffic: [Option<u64>; 5],
        landing: Option<u64>,
        conversion: [Option<u64>; 3],
    ) -> PyResult<Self> {
        Ok(Self(core::Question {
            scope: core::Scope::from_number(touch_scope).map_err(raise)?,
            window: [start_ms, end_ms],
            traffic,
            landing,
            conversion,
        }))
    }
}

/// Totals of days.
#[pyclass(module = "pageroles._core")]
struct Days(core::Days);

#[pymethods]
impl Days {
    #[new]
    fn new(first_day: i64, days: usize) -> Self {
        Self(core::Days::new(first_day, days))
    }

    fn merge(&mut self, other: &Self) -> PyResult<()> {
        self.0.merge(&other.0).map_err(raise)
    }

    fn message<'py>(&self, py: Python<'py>) -> Message<'py> {
        to_bytes(py, &self.0.message())
    }
}

/// The latest sessions of a number.
#[pyclass(module = "pageroles._core")]
struct Selection(core::Selection);

#[pymethods]
impl Selection {
    #[new]
    fn new(limit: usize, before: Option<core::Selected>) -> Self {
        Self(core::Selection::new(limit, before))
    }

    #[getter]
    fn total(&self) -> (u64, u64) {
        let total = self.0.total();
        (total.sessions, total.users)
    }

    fn merge(&mut self, py: Python<'_>, other: &Self) -> PyResult<()> {
        py.detach(|| self.0.merge(&other.0)).map_err(raise)
    }

    fn take(&mut self, py: Python<'_>) -> Vec<core::Selected> {
        py.detach(|| self.0.take())
    }
}

/// Texts by their keys. Its methods may be called from several threads at once.
#[pyclass(module = "pageroles._core", frozen)]
struct Names(core::Names);

#[pymethods]
impl Names {
    #[new]
    fn new() -> Self {
        Self(core::Names::default())
    }

    fn feed(&self, py: Python<'_>, chunk: &[u8]) -> PyResult<()> {
        py.detach(|| self.0.feed(chunk)).map_err(raise)
    }

    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        py.detach(|| self.0.merge(&other.0)).map_err(raise)
    }

    #[getter]
    fn bytes(&self, py: Python<'_>) -> usize {
        py.detach(|| self.0.bytes())
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        py.detach(|| self.0.len())
    }
}

/// Values of a filter, by their keys.
#[pyclass(module = "pageroles._core")]
struct Values(core::Values);

#[pymethods]
impl Values {
    #[new]
    fn new() -> Self {
        Self(core::Values::default())
    }

    fn merge(&mut self, py: Python<'_>, other: &Self) {
        py.detach(|| self.0.merge(&other.0));
    }

    fn missing(&self, py: Python<'_>, names: &Names) -> Vec<u64> {
        py.detach(|| self.0.missing(&names.0))
    }

    fn top(
        &self,
        py: Python<'_>,
        names: &Names,
        contains: &str,
        limit: usize,
    ) -> Vec<(String, u64)> {
        py.detach(|| self.0.top(&names.0, contains, limit))
    }
}

/// A domain in memory. Its methods may be called from several threads at once.
#[pyclass(module = "pageroles._core", frozen)]
struct Resident(Arc<core::Resident>);

#[pymethods]
impl Resident {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    fn snapshot(&self) -> Self {
        Self(Arc::new(self.0.snapshot()))
    }

    fn count(
        &self,
        py: Python<'_>,
        question: &Question,
        balance: bool,
        landings: bool,
        threads: usize,
    ) -> PyResult<Counted> {
        let counted = py.detach(|| self.0.count(&question.0, balance, landings, threads));
        counted.map(Counted).map_err(raise)
    }

    fn days(
        &self,
        py: Python<'_>,
        question: &Question,
        page: Option<u64>,
        landings: Option<&Question>,
        days: &mut Days,
        threads: usize,
    ) {
        let landings = landings.map(|landings| &landings.0);
        py.detach(|| (self.0).days(&question.0, page, landings, &mut days.0, threads));
    }

    fn values(
        &self,
        py: Python<'_>,
        question: &Question,
        field: i64,
        threads: usize,
    ) -> PyResult<Values> {
        let field = core::Field::from_number(field).map_err(raise)?;
        let values = py.detach(|| self.0.values(&question.0, field, threads));
        Ok(Values(values))
    }

    fn select(
        &self,
        py: Python<'_>,
        question: &Question,
        page: Option<u64>,
        role: i64,
        selection: &mut Selection,
        threads: usize,
    ) -> PyResult<()> {
        let part = core::Part::from_numbers(page, role).map_err(raise)?;
        py.detach(|| (self.0).select(&question.0, part, &mut selection.0, threads));
        Ok(())
    }

    #[getter]
    fn sessions(&self) -> usize {
        self.0.sessions()
    }

    #[getter]
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// Places that come for a resident.
#[pyclass(module = "pageroles._core")]
struct Incoming(core::Incoming);

#[pymethods]
impl Incoming {
    #[new]
    fn new(resident: &Resident) -> Self {
        Self(core::Incoming::new(Arc::clone(&resident.0)))
    }

    fn feed(&mut self, py: Python<'_>, chunk: &[u8]) -> PyResult<()> {
        py.detach(|| self.0.feed(chunk)).map_err(raise)
    }

    fn apply(&mut self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.apply()).map_err(raise)
    }
}

/// The messages of a stream. Each is made when it is asked for.
#[pyclass]
struct Responses {
    answer: core::Answer,
    counted: Py<Counted>,
    max_bytes: usize,
}

#[pymethods]
impl Responses {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let counted = self.counted.try_borrow(py)?;
        let (answer, counted, most) = (&mut self.answer, &counted.0, self.max_bytes);
        let message = py.detach(|| counted.read(|snapshot| answer.next_message(snapshot, most)));
        message.map(|message| to_bytes(py, &message)).transpose()
    }
}

#[pyclass(module = "pageroles._core")]
struct JsonAnswer(core::JsonAnswer);

#[pymethods]
impl JsonAnswer {
    #[new]
    fn new() -> Self {
        Self(core::JsonAnswer::default())
    }

    fn feed<'py>(&mut self, py: Python<'py>, message: &[u8]) -> Message<'py> {
        let json = py.detach(|| self.0.feed(message));
        to_bytes(py, &json.map_err(raise)?)
    }
    fn finish<'py>(&mut self, py: Python<'py>) -> Message<'py> {
        let json = py.detach(|| self.0.finish());
        to_bytes(py, &json.map_err(raise)?)
    }
}

/// The keys of many strings at once.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "as PyO3 takes lists")]
fn keys(texts: Vec<pyo3::pybacked::PyBackedStr>) -> Vec<u64> {
    texts
        .iter()
        .map(|text| core::key(text.as_bytes()))
        .collect()
}

fn to_bytes<'py>(py: Python<'py>, message: &[u8]) -> Message<'py> {
    joined(py, &[message])
}

/// Joins pieces in Python's own memory, so that each byte is copied once.
fn joined<'py, P: AsRef<[u8]> + Sync>(py: Python<'py>, pieces: &[P]) -> Message<'py> {
    let length = pieces.iter().map(|piece| piece.as_ref().len()).sum();
    PyBytes::new_with(py, length, |bytes| {
        py.detach(|| {
            let mut rest = bytes;
            for piece in pieces {
                let (head, tail) = rest.split_at_mut(piece.as_ref().len());
                head.copy_from_slice(piece.as_ref());
                rest = tail;
            }
        });
        Ok(())
    })
}

#[pymodule]
#[allow(non_upper_case_globals, reason = "Python's names")]
mod _core {
    #[pymodule_export]
    use super::{
        AmbiguousPagesError, CoreError, Counted, Days, Incoming, JsonAnswer, Names, Question,
        Resident, Selection, Tally, Values, keys,
    };
    #[pymodule_export]
    const __version__: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    const __build__: &str = ["release", "debug"][cfg!(debug_assertions) as usize];
}
