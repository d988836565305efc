//! `graph`: the policy as a picture.

use super::{Failure, Terminal, model, program, root};
use crate::{
    cli::{Exit, GraphArgs, GraphForm, GraphView},
    graph::{self, Form},
};

/// Draws the policy.
///
/// # Errors
/// When the arguments make no sense, or files or output fail.
pub fn run(args: &GraphArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = root(args.path.as_deref(), terminal.system)?;
    let graph = match args.show {
        GraphView::Access => match program(&root, args.at, terminal)? {
            Ok(program) => graph::access(&program),
            Err(exit) => return Ok(exit),
        },
        GraphView::Delegation => match model(&root, terminal)? {
            Ok(policy) => graph::delegation(&policy),
            Err(exit) => return Ok(exit),
        },
    };
    let text = graph.render(match args.format {
        GraphForm::Dot => Form::Dot,
        GraphForm::Mermaid => Form::Mermaid,
        GraphForm::Svg => Form::Svg,
    });
    match &args.output {
        Some(file) => terminal.system.write(file, text.as_bytes())?,
        None => terminal.out.write_all(text.as_bytes())?,
    }
    Ok(Exit::Clean)
}
