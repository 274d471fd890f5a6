//! What a server has acknowledged, in a file: what it must still have after whatever happened.
//!
//! Text, a line each: first how results look (`look JSON`), then the agents' checks (`agent INDEX ID ID …`), then
//! each acknowledged request (`TIME INDEX FIRST COUNT`: so many checks of the agent, from the first on, at that time
//! in milliseconds). What the results said follows from that, see [`body`](crate::body). A request without an answer
//! is not in it: the server may have stored it or not. A last line that was cut is not read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::Failure;
use crate::body::Look;
use crate::fleet::Fleet;

/// Writes down what is acknowledged; shared by all connections.
#[derive(Debug)]
pub struct Ledger(Mutex<BufWriter<File>>);

impl Ledger {
    /// A new ledger of such a fleet.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn create(path: &Path, fleet: &Fleet, look: Look) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut file = BufWriter::new(file);
        write_head(&mut file, fleet, look)?;
        Ok(Self(Mutex::new(file)))
    }

    /// These checks of the agent at `index` have been acknowledged.
    ///
    /// # Errors
    /// The disk is full.
    pub fn acknowledged(&self, at_ms: i64, index: usize, checks: &Range<usize>) -> Result<(), Failure> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writeln!(file, "{at_ms} {index} {} {}", checks.start, checks.len())?)
    }

    /// Everything is in the file when this returns.
    ///
    /// # Errors
    /// The disk is full.
    pub fn close(&self) -> Result<(), Failure> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()?)
    }
}

fn write_head(file: &mut impl Write, fleet: &Fleet, look: Look) -> Result<(), Failure> {
    writeln!(file, "look {}", serde_json::to_string(&look)?)?;
    for (index, member) in fleet.agents.iter().enumerate() {
        write!(file, "agent {index}")?;
        member.checks.iter().try_for_each(|check| write!(file, " {check}"))?;
        writeln!(file)?;
    }
    Ok(())
}

/// What a ledger says.
#[derive(Debug)]
pub struct Acknowledged {
    /// How the results look.
    pub look: Look,
    /// The times of the results of each check, in milliseconds, sorted.
    pub times: HashMap<u64, Vec<i64>>,
}

impl Acknowledged {
    /// Reads a ledger.
    ///
    /// # Errors
    /// The text is not one; says which line.
    pub fn read(mut source: impl BufRead) -> Result<Self, Failure> {
        let mut reading = Reading::default();
        let mut line = String::new();
        for number in 1.. {
            line.clear();
            source.read_line(&mut line)?;
            let Some(whole) = line.strip_suffix('\n') else { break };
            reading.line(whole).ok_or_else(|| format!("line {number} of the ledger is wrong: {whole}"))?;
        }
        let look = reading.look.ok_or("the ledger does not begin with how results look")?;
        reading.times.values_mut().for_each(|times| times.sort_unstable());
        Ok(Self { look, times: reading.times })
    }

    /// How many results that is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.times.values().map(Vec::len).sum()
    }
}

#[derive(Default)]
struct Reading {
    look: Option<Look>,
    agents: Vec<Vec<u64>>,
    times: HashMap<u64, Vec<i64>>,
}

impl Reading {
    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(look) = line.strip_prefix("look ") {
            self.look = Some(serde_json::from_str(look).ok()?);
        } else if let Some(agent) = line.strip_prefix("agent ") {
            let (index, checks) = agent.split_once(' ')?;
            let checks = checks.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
            self.agents.push(checks);
            (index.parse() == Ok(self.agents.len() - 1)).then_some(())?;
        } else {
            let numbers: Vec<i64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
            let [at, index, first, count] = numbers[..] else { return None };
            let first = usize::try_from(first).ok()?;
            let checks = self.agents.get(usize::try_from(index).ok()?)?;
            for check in checks.get(first..first + usize::try_from(count).ok()?)? {
                self.times.entry(*check).or_default().push(at);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Text;
    use crate::fleet::Member;

    const LOOK: Look = Look { text: Text::Changing, failing: 0.25 };

    fn fleet() -> Fleet {
        let member = |checks: &[u64]| Member { agent: 1, token: String::new(), checks: checks.to_vec() };
        Fleet { agents: vec![member(&[10, 11, 12]), member(&[20])] }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path, &fleet(), LOOK).unwrap();
        ledger.acknowledged(2000, 0, &(1..3)).unwrap();
        ledger.acknowledged(1000, 0, &(2..3)).unwrap();
        ledger.acknowledged(1500, 1, &(0..1)).unwrap();
        ledger.close().unwrap();
        let read = Acknowledged::read(std::fs::read(&path).unwrap().as_slice()).unwrap();
        assert_eq!((read.look, read.count()), (LOOK, 4));
        let expected = [(11, vec![2000]), (12, vec![1000, 2000]), (20, vec![1500])];
        assert_eq!(read.times, HashMap::from(expected));
    }

    #[test]
    fn a_cut_last_line_says_nothing() {
        let mut text = Vec::new();
        write_head(&mut text, &fleet(), LOOK).unwrap();
        text.extend_from_slice(b"5 1 0 1\n7 0 0 ");
        let read = Acknowledged::read(text.as_slice()).unwrap();
        assert_eq!(read.times, HashMap::from([(20, vec![5])]));
    }

    #[test]
    fn what_is_no_ledger_is_refused_by_line() {
        let look = r#"look {"text":"constant","failing":0.0}"#;
        for (text, line) in [
            (format!("{look}\nagent 1 5\n"), "line 2"),
            (format!("{look}\nagent 0 5\n1 0 0 2\n"), "line 3"),
            (format!("{look}\nagent 0 5\n1 7 0 1\n"), "line 3"),
            ("hello\n".to_owned(), "line 1"),
            (String::new(), "does not begin"),
        ] {
            let error = Acknowledged::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(line), "{error}");
        }
    }
}
