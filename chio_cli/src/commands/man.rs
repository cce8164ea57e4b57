//! `chio man`

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use serde_json::json;

use crate::args::{Args, Man};
use crate::exit::{Exit, Failure};
use crate::print::{DIM, Printer, RESET, word};
use crate::write::{Audience, Pending};

pub(crate) fn run(args: &Man, printer: &Printer) -> Result<Exit, Failure> {
    let mut chio = Args::command();
    chio.build();
    let Some(directory) = &args.out else {
        let page = String::from_utf8_lossy(&page(&chio)?).into_owned();
        printer.answer(&json!({"page": page}), &page)?;
        return Ok(Exit::Done);
    };
    if directory == Path::new("-") {
        return Err(Failure::usage(
            "the pages are written to a directory",
            "name one, or leave --out away for one page",
        ));
    }
    let mut pages = Vec::new();
    collect(&chio, &mut pages)?;
    let is_new = !directory.exists();
    if is_new {
        std::fs::create_dir(directory).map_err(|error| {
            Failure::new(
                format!("`{}` cannot be made: {error}", directory.display()),
                "name a directory that you may write to",
            )
        })?;
    }
    let paths: Vec<PathBuf> = pages.iter().map(|(name, _)| directory.join(name)).collect();
    write(&paths, &pages, args.force).inspect_err(|_| {
        if is_new {
            let _ = std::fs::remove_dir(directory);
        }
    })?;
    let first = directory.join("chio.1");
    let text =
        format!("{} pages in {}\n{DIM}Next:{RESET}\n  man -l {}\n", pages.len(), directory.display(), word(&first));
    let names: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    printer.answer(&json!({"pages": names}), &text)?;
    Ok(Exit::Done)
}

/// All pages or none: what was there is known before the first is written.
fn write(paths: &[PathBuf], pages: &[(String, Vec<u8>)], force: bool) -> Result<(), Failure> {
    let pending: Vec<Pending> =
        paths.iter().map(|path| Pending::new(path, Audience::Everyone, force)).collect::<Result<_, _>>()?;
    for (index, (pending, (_, page))) in pending.into_iter().zip(pages).enumerate() {
        if let Err(failure) = pending.finish(page) {
            for written in paths.iter().take(index).filter(|_| !force) {
                let _ = std::fs::remove_file(written);
            }
            return Err(failure);
        }
    }
    Ok(())
}

fn collect(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or(command.get_name()).replace(' ', "-");
    pages.push((format!("{name}.1"), page(command)?));
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| collect(command, pages))
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let source = concat!("chio ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command.clone())
        .date("")
        .source(source)
        .manual("Chio")
        .render(&mut page)
        .map_err(|error| Failure::new(error, "report this"))?;
    Ok(page)
}
