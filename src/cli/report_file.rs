//! `--report`: the page that commands write beside their result.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::error::Error;
use crate::cli::explanation::{Cures, ExplanationFile};
use crate::report::OutputFile;
use crate::report::comparison::figures;
use crate::report::header::header;
use crate::report::html::{Document, Table, document};
use crate::report::provenance::provenance;
use crate::report::remarks::remarks;
use crate::report::verdict::verdict;
use crate::result::{ResultFile, Tool};
use crate::runner::Indexed;
use crate::search::sweep::SweepFile;
use crate::search::{
    CapacityFile, PlanFile, apart_lines, capacity_answers, capacity_rows, plan_answer,
    plan_nearest, plan_rows,
};
use crate::view::{CuresView, Drawn, Page};

/// The page that was asked for, open.
pub(super) struct ReportFile(OutputFile);

/// What a page says in words.
struct Words {
    header: Vec<String>,
    verdict: Vec<String>,
    table: Option<Table>,
    notes: Vec<String>,
}

impl ReportFile {
    /// Opens the page's file before the work.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(report: Option<&PathBuf>) -> Result<Option<ReportFile>, Error> {
        Ok(report.map(|path| OutputFile::create(path)).transpose()?.map(ReportFile))
    }

    /// Simulated runs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn runs(
        self,
        runs: &[Indexed<'_>],
        result: &ResultFile,
        explanation: Option<&ExplanationFile>,
    ) -> Result<(), Error> {
        self.write(&page_of_runs(runs, result, explanation))
    }

    /// Measured runs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn measured(self, result: &ResultFile) -> Result<(), Error> {
        self.write(&page_of_measured(result))
    }

    /// Capacities.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn capacity(self, file: &CapacityFile) -> Result<(), Error> {
        self.write(&page_of_capacity(file))
    }

    /// A plan.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn plan(self, file: &PlanFile) -> Result<(), Error> {
        self.write(&page_of_plan(file))
    }

    /// A sweep.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn sweep(self, file: &SweepFile) -> Result<(), Error> {
        self.write(&page_of_sweep(file))
    }

    fn write(mut self, html: &str) -> Result<(), Error> {
        if let Err(source) = self.0.write_all(html.as_bytes()) {
            return Err(self.0.error(source).into());
        }
        Ok(self.0.commit()?)
    }
}

/// The page of simulated runs.
pub(super) fn page_of_runs(
    runs: &[Indexed<'_>],
    result: &ResultFile,
    explanation: Option<&ExplanationFile>,
) -> String {
    let drawn: Vec<Drawn<'_>> = runs
        .iter()
        .enumerate()
        .map(|(place, run)| Drawn {
            result: &run.output.result,
            judged_by: &run.output.judged_by,
            index: run.index(),
            explanation: explanation.and_then(|file| file.runs.get(place)),
        })
        .collect();
    let cures = explanation.map(|file| file.cures.iter().map(cures_view).collect());
    html(&Page::of_runs(&result.scenario, &drawn, cures), &words(result))
}

/// The page of measured runs.
pub(super) fn page_of_measured(result: &ResultFile) -> String {
    html(&Page::of_measured(result), &words(result))
}

/// The page of capacities.
pub(super) fn page_of_capacity(file: &CapacityFile) -> String {
    let mut rows = capacity_rows(file).into_iter();
    let labelled = file
        .schedulers
        .iter()
        .flat_map(|c| c.notes.iter().map(move |note| format!("{}: {note}", c.label)));
    let words = Words {
        header: header(&ResultFile::new(file.scenario.clone(), Vec::new(), Vec::new())),
        verdict: capacity_answers(file),
        table: Some(Table {
            head: rows.next().unwrap_or_default(),
            rows: rows
                .map(|row| {
                    let mut cells = row.into_iter();
                    let name = cells.next().unwrap_or_default();
                    (name, cells.map(|cell| (cell, false)).collect())
                })
                .collect(),
            runs_are_rows: true,
        }),
        notes: file.warnings.iter().chain(&file.notes).cloned().chain(labelled).collect(),
    };
    html(&Page::of_capacity(file), &words)
}

/// The page of a plan.
pub(super) fn page_of_plan(file: &PlanFile) -> String {
    let mut rows = plan_rows(file).into_iter();
    let launches = file.answers.iter().flat_map(|one| {
        let line = one.launch.as_ref().map(|line| format!("{}: {line}", one.gpu));
        let left_out = one.not_in_launch.iter();
        line.into_iter()
            .chain(left_out.map(|note| format!("{}: not in this line: {note}", one.gpu)))
    });
    let infeasible = file.infeasible.iter().map(|one| {
        let change = plan_nearest(file, one);
        format!("{} TP{} {}: {}{change}", one.gpu, one.parallelism.tensor, one.dtype, one.reason)
    });
    let words = Words {
        header: vec![format!("held: {}", file.promise)],
        verdict: vec![plan_answer(file)],
        table: Some(Table {
            head: rows.next().unwrap_or_default(),
            rows: rows
                .map(|row| {
                    let mut cells = row.into_iter();
                    let name = cells.next().unwrap_or_default();
                    (name, cells.map(|cell| (cell, false)).collect())
                })
                .collect(),
            runs_are_rows: true,
        }),
        notes: launches
            .chain(file.answers.iter().flat_map(|one| {
                let lines = apart_lines(file, one).into_iter();
                lines.map(|line| format!("{}: {line}", one.gpu))
            }))
            .chain(infeasible)
            .chain(file.notes.iter().cloned())
            .collect(),
    };
    html(&Page::of_plan(&file.to_json()), &words)
}

/// The page of a sweep.
pub(super) fn page_of_sweep(file: &SweepFile) -> String {
    let mut verdict = vec![format!(
        "{} combinations of {} were tried.",
        file.points.len(),
        file.vary.iter().map(|vary| vary.path.as_str()).collect::<Vec<_>>().join(" and ")
    )];
    let telling = file.sensitivities.iter().filter(|told| !told.contains(": no change"));
    verdict.extend(telling.take(12).cloned());
    let words = Words {
        header: header(&ResultFile::new(file.scenario.clone(), Vec::new(), Vec::new())),
        verdict,
        table: None,
        notes: file.warned(),
    };
    html(&Page::of_sweep(file), &words)
}

fn html(page: &Page, words: &Words) -> String {
    let tool = Tool::this();
    document(&Document {
        title: &page.title,
        header: &words.header,
        verdict: &words.verdict,
        table: words.table.as_ref(),
        notes: &words.notes,
        data: &page.to_json(),
        packed: &page.packed(),
        made_by: &format!("{} {}", tool.name, tool.version),
    })
}

fn words(result: &ResultFile) -> Words {
    let rows = figures(&result.runs).into_iter();
    Words {
        header: header(result),
        verdict: verdict(&result.runs),
        table: Some(Table {
            head: std::iter::once(String::new())
                .chain(result.runs.iter().map(|run| run.label.clone()))
                .collect(),
            rows: rows.map(|row| (row.name.into_owned(), row.cells)).collect(),
            runs_are_rows: false,
        }),
        notes: remarks(result).into_iter().chain(result.runs.iter().flat_map(provenance)).collect(),
    }
}

fn cures_view(cures: &Cures) -> CuresView {
    CuresView {
        label: cures.label.clone(),
        request: cures.request,
        token: cures.token,
        main_cause: cures.main_cause,
        keeps_promise: cures.keeps_promise,
        tried: cures.tried.clone(),
        best: cures.best,
        notes: cures.notes.clone(),
    }
}
