//! `chio config`

use std::fmt::Write as _;

use serde_json::{Map, json};

use crate::args;
use crate::config::{Config, SETTINGS};
use crate::exit::{Exit, Failure};
use crate::print::{BOLD, DIM, GREEN, Printer, RESET};

pub(crate) fn run(args: &args::Config, printer: &Printer) -> Result<Exit, Failure> {
    match args {
        args::Config::Check(args) => {
            let set = Config::gather(args.file.as_ref())?.origins.len();
            printer.answer(&json!({"set": set}), &format!("{GREEN}ok{RESET}     {set} settings\n"))?;
        }
        args::Config::Show(args) => {
            let config = Config::gather(args.file.as_ref())?;
            let (mut all, mut text) = (Map::new(), String::new());
            for setting in &SETTINGS {
                let (value, origin) = (config.value(setting), config.origins.get(setting.name));
                let from = origin.map_or("default", String::as_str);
                let _ = writeln!(text, "{BOLD}{:<30}{RESET} {value}  {DIM}{from}{RESET}", setting.name);
                let told = json!({"from": from, "value": value, "variable": setting.variable()});
                all.insert(setting.name.to_owned(), told);
            }
            printer.answer(&all.into(), &text)?;
        }
    }
    Ok(Exit::Done)
}
