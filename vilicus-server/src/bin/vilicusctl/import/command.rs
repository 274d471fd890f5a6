//! A check command of Nagios as a program with arguments: `check_http!-p 8080` looked up, its macros filled in.
//!
//! *Source:* <https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/macros.html>.

use std::collections::BTreeMap;

/// Where plugins are when no resource file says so.
const PLUGINS: &str = "/usr/lib/nagios/plugins";
/// The longest text that macros may grow to: they can hold each other.
const LONGEST: usize = 65_536;

/// What fills in the macros of one check.
#[derive(Debug, Clone, Default)]
pub(super) struct Macros(BTreeMap<String, String>);

impl Macros {
    /// With those of the resource files.
    pub(super) fn new(user: &BTreeMap<String, String>) -> Self {
        let mut macros = Self(user.clone());
        macros.0.entry("$USER1$".to_owned()).or_insert_with(|| PLUGINS.to_owned());
        macros
    }

    /// One more, by its name without the signs.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(format!("${name}$"), value.to_owned());
    }

    /// The text with all macros filled in. `$$` is a dollar sign.
    fn fill(&self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            filled += before;
            let Some((name, after)) = after.split_once('$') else {
                return Err(format!("'${after}' is a macro without an end"));
            };
            if name.is_empty() {
                filled.push('$');
            } else {
                let key = format!("${name}$");
                filled += self.0.get(&key).ok_or_else(|| format!("nothing is known of the macro {key}"))?;
            }
            if filled.len() > LONGEST {
                return Err("its macros make it too long".to_owned());
            }
            rest = after;
        }
        Ok(filled + rest)
    }
}

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
}

/// The command line of a `check_command`; `lines` are the known commands.
///
/// # Errors
/// Why there is none that could be run without a shell.
pub(super) fn line(
    check_command: &str,
    lines: &BTreeMap<&str, &str>,
    macros: &Macros,
) -> Result<Line, String> {
    let mut parts = check_command.split('!');
    let name = parts.next().unwrap_or_default().trim();
    let written = lines.get(name).ok_or_else(|| format!("there is no command '{name}' in these folders"))?;
    let mut macros = macros.clone();
    // Nagios knows 32; those that are not given are empty.
    for at in 1..=32 {
        let argument = macros.fill(parts.next().unwrap_or_default())?;
        macros.set(&format!("ARG{at}"), &argument);
    }
    split(&macros.fill(written)?)
}

/// A command line in words. What only a shell can do is refused.
pub(super) fn split(line: &str) -> Result<Line, String> {
    let unquoted = without_quotes(line);
    if let Some(sign) = ["|", "&", ";", "<", ">", "`", "$("].into_iter().find(|sign| unquoted.contains(sign))
    {
        return Err(format!("it needs a shell for '{sign}'; put it into a script"));
    }
    let mut words = shlex::split(line).ok_or("its quotes have no end")?;
    if words.is_empty() {
        return Err("it is empty".to_owned());
    }
    let program = words.remove(0);
    if !program.starts_with('/') {
        return Err(format!("'{program}' is no absolute path"));
    }
    Ok(Line { program, arguments: words })
}

fn without_quotes(line: &str) -> String {
    let (mut out, mut quote) = (String::new(), None);
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(command: &str, written: &str) -> Result<Line, String> {
        let mut macros = Macros::new(&BTreeMap::new());
        macros.set("HOSTADDRESS", "192.0.2.1");
        line(command, &BTreeMap::from([("check", written)]), &macros)
    }

    #[test]
    fn macros_and_arguments_are_filled_in() {
        let found =
            made("check!-p 80!'a b'", "$USER1$/check_http -I $HOSTADDRESS$ $ARG1$ -s $ARG2$ $ARG3$ -c '$$x'")
                .unwrap();
        assert_eq!(found.program, "/usr/lib/nagios/plugins/check_http");
        assert_eq!(found.arguments, ["-I", "192.0.2.1", "-p", "80", "-s", "a b", "-c", "$x"]);
    }

    #[test]
    fn what_cannot_be_run_says_why() {
        for (command, written, why) in [
            ("none", "/bin/true", "there is no command 'none'"),
            ("check", "/bin/echo $UNKNOWN$", "nothing is known of the macro $UNKNOWN$"),
            ("check", "/bin/echo a | wc", "needs a shell for '|'"),
            ("check", "/bin/echo 'a", "quotes have no end"),
            ("check", "check_http", "no absolute path"),
            ("check", "/bin/echo $5", "a macro without an end"),
        ] {
            let refused = made(command, written).unwrap_err();
            assert!(refused.contains(why), "{written}: {refused}");
        }
        assert!(made("check", "/bin/echo 'a|b'").is_ok(), "within quotes it is a letter");
    }
}
