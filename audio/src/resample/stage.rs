//! One filter of a resampler, or two in a row, with the coefficients that resamplers share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::design::Prototype;
use super::dots::{DotFilter, Dots};
use super::pace::Pace;
use super::rows::{self, RowFilter, Rows};
use super::{Preset, low_delay};
use crate::pcm::Sample;

/// What the samples of a stream go through.
#[derive(Clone)]
pub(super) enum Path {
    /// Equal rates: every bit passes.
    Copy,
    One(Stage),
    /// Two filters, and room for what passes from one to the other.
    Two(Stage, Stage, Box<[f32]>),
}

impl Path {
    pub(super) fn new(table: &Table) -> Self {
        match &table.filters {
            Filters::One(filter) => Self::One(Stage::new(filter)),
            Filters::Two(first, second) => {
                let (first, second) = (Stage::new(first), Stage::new(second));
                let between = vec![0.0; first.pace.output_len(BLOCK)].into_boxed_slice();
                Self::Two(first, second, between)
            }
        }
    }

    /// Converts one run; `output` has the length of what it makes.
    pub(super) fn process<S: Sample>(&mut self, input: &[S], mut output: &mut [S]) {
        match self {
            Self::Copy => output.copy_from_slice(input),
            Self::One(stage) => stage.process(input, output),
            Self::Two(first, second, between) => {
                for input in input.chunks(BLOCK) {
                    let between = &mut between[..first.pace.output_len(input.len())];
                    first.process(input, between);
                    let (out, rest) = output.split_at_mut(second.pace.output_len(between.len()));
                    second.process(between, out);
                    output = rest;
                }
            }
        }
    }

    pub(super) fn reset(&mut self) {
        match self {
            Self::Copy => {}
            Self::One(stage) => stage.reset(),
            Self::Two(first, second, _) => {
                first.reset();
                second.reset();
            }
        }
    }
}

/// One filter and the state of its stream.
#[derive(Clone)]
pub(super) struct Stage {
    pace: Pace,
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    /// Many phases: one dot product an output.
    Dots(Dots),
    /// Few phases: each phase runs over a whole row of outputs at once.
    Rows(Rows),
}

impl Stage {
    fn new(filter: &Filter) -> Self {
        let (up, down, engine) = match filter {
            Filter::Dots(filter) => (filter.up, filter.down, Engine::Dots(Dots::new(Arc::clone(filter)))),
            Filter::Rows(filter) => (filter.up, filter.down, Engine::Rows(Rows::new(Arc::clone(filter)))),
        };
        Self { pace: Pace::new(up, down), engine }
    }

    fn process<I: Sample, O: Sample>(&mut self, input: &[I], mut output: &mut [O]) {
        let block = match &self.engine {
            Engine::Dots(_) => Dots::BLOCK,
            Engine::Rows(rows) => rows.block(),
        };
        for input in input.chunks(block) {
            let (out, rest) = output.split_at_mut(self.pace.output_len(input.len()));
            match &mut self.engine {
                Engine::Dots(dots) => dots.process(input, self.pace.ahead, out),
                Engine::Rows(rows) => rows.process(input, out),
            }
            self.pace.advance(input.len());
            output = rest;
        }
    }

    fn reset(&mut self) {
        self.pace.reset();
        match &mut self.engine {
            Engine::Dots(dots) => dots.reset(),
            Engine::Rows(rows) => rows.reset(),
        }
    }
}

/// The coefficients of one ratio and preset.
#[derive(Clone)]
pub(super) struct Table {
    filters: Filters,
    /// In output samples.
    pub(super) latency: usize,
}

#[derive(Clone)]
enum Filters {
    One(Filter),
    Two(Filter, Filter),
}

#[derive(Clone)]
enum Filter {
    Dots(Arc<DotFilter>),
    Rows(Arc<RowFilter>),
}

impl Table {
    /// The one table of this ratio and preset. There are at most 126 of them, of a few KiB each, so none is let go.
    pub(super) fn shared(up: usize, down: usize, preset: Preset) -> Self {
        static TABLES: Mutex<BTreeMap<(usize, usize, Preset), Table>> = Mutex::new(BTreeMap::new());
        // A table is put in whole, so one that a panic elsewhere left behind is sound.
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        tables.entry((up, down, preset)).or_insert_with(|| Self::design(up, down, preset)).clone()
    }

    fn design(up: usize, down: usize, preset: Preset) -> Self {
        // Two stages make twice the lower rate on their way. That is less to do where the other rate lies higher still,
        // and takes fewer coefficients than the many phases of a long filter do.
        if preset == Preset::Strict && (up.max(down) > rows::MAX_PHASES || up.max(down) > 2 * up.min(down)) {
            let [first, second] = low_delay::halves(up, down).map(|prototype| Filter::new(&prototype));
            return Self { filters: Filters::Two(first, second), latency: low_delay::latency(up, down) };
        }
        let (prototype, latency) = Prototype::design(up, down, preset);
        Self { filters: Filters::One(Filter::new(&prototype)), latency }
    }
}

impl Filter {
    fn new(prototype: &Prototype) -> Self {
        if prototype.up.max(prototype.down) <= rows::MAX_PHASES {
            Self::Rows(Arc::new(RowFilter::new(prototype)))
        } else {
            Self::Dots(Arc::new(DotFilter::new(prototype)))
        }
    }
}

/// The longest input of the first of two stages: 20 ms at 48 kHz.
const BLOCK: usize = 960;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_shared() {
        let filter = || match Table::shared(2, 1, Preset::Telephone).filters {
            Filters::One(Filter::Rows(filter)) => filter,
            Filters::One(Filter::Dots(_)) | Filters::Two(..) => panic!("few phases and one stage"),
        };
        assert!(Arc::ptr_eq(&filter(), &filter()));
    }
}
