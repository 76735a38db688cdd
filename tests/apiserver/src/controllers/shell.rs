//! A container's program: the small part of the shell's language that scenarios are written in,
//! so that one script behaves alike here and in a real container.
//!
//! There are `;`, `&&`, `||`, `!`, `&`, `if`, `while`, `until`, quotes, variables, `>` and `>>`.
//! What is not in the table of commands is not found, as in a real image.

mod command;
mod parse;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use parse::compile;

use super::room::Room;

/// Commands between two looks at the clock; a loop without a `sleep` goes on after this many.
const FUEL: u32 = 200;

/// How long a loop without a `sleep` rests.
const REST: Duration = Duration::from_millis(100);

/// A compiled script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    ops: Vec<Op>,
}

#[derive(Debug, PartialEq, Eq)]
enum Op {
    /// Runs one command.
    Run(Command),
    /// Goes on there when the last status is not 0.
    Unless(usize),
    /// Goes on there when the last status is 0.
    When(usize),
    /// Goes on there.
    Jump(usize),
    /// Turns the status around.
    Not,
    /// Sets the status to 0.
    Fine,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Command {
    words: Vec<Word>,
    output: Option<Output>,
    is_background: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Output {
    file: Word,
    is_append: bool,
}

/// Parts that are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Word(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with a code.
    Exit(i32),
    /// It used more memory than its limit.
    OutOfMemory,
}

/// Why a program stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It goes on after this long.
    For(Duration),
    /// It has ended.
    Ended(End),
}

/// What one command comes to.
enum Outcome {
    Status(i32),
    Sleep(Duration),
    /// Waits for what runs in the background; a signal ends the wait.
    Wait,
    End(End),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trap {
    /// SIGTERM is ignored.
    Ignore,
    /// SIGTERM runs this.
    Run(Arc<Program>),
}

/// A program that runs. Times are those of the cluster, not of the clock on the wall.
#[derive(Debug)]
pub(crate) struct Process {
    program: Arc<Program>,
    position: usize,
    status: i32,
    trap: Option<Trap>,
    is_terminated: bool,
    /// What is left of a `sleep` in the background.
    background: Option<Duration>,
    /// It stands in `wait`, which a signal ends.
    is_waiting: bool,
}

impl Process {
    pub(crate) fn new(program: Arc<Program>) -> Self {
        Self {
            program,
            position: 0,
            status: 0,
            trap: None,
            is_terminated: false,
            background: None,
            is_waiting: false,
        }
    }

    /// Runs until it pauses. Call it again when the pause is over, or after a signal that
    /// [`Self::terminate`] says is to be handled at once.
    pub(crate) fn run(&mut self, room: &mut Room) -> Pause {
        for _ in 0..FUEL {
            if self.is_terminated && !self.is_waiting {
                self.is_terminated = false;
                if let Some(Trap::Run(program)) = &self.trap {
                    self.program = program.clone();
                    self.position = 0;
                }
            }
            if std::mem::take(&mut self.is_waiting) {
                self.background = None;
            }
            let Some(op) = self.program.ops.get(self.position) else {
                return Pause::Ended(End::Exit(self.status));
            };
            self.position += 1;
            match op {
                Op::Run(command) => {
                    let command = command.clone();
                    match self.carry_out(&command, room) {
                        Outcome::Status(status) => self.status = status,
                        Outcome::End(end) => return Pause::Ended(end),
                        Outcome::Sleep(time) => {
                            self.status = 0;
                            if command.is_background {
                                self.background = Some(time);
                                continue;
                            }
                            return Pause::For(time);
                        }
                        Outcome::Wait => {
                            self.status = 0;
                            if let Some(time) = self.background {
                                self.is_waiting = true;
                                return Pause::For(time);
                            }
                        }
                    }
                }
                Op::Unless(target) if self.status != 0 => self.position = *target,
                Op::When(target) if self.status == 0 => self.position = *target,
                Op::Unless(_) | Op::When(_) => {}
                Op::Jump(target) => self.position = *target,
                Op::Not => self.status = i32::from(self.status == 0),
                Op::Fine => self.status = 0,
            }
        }
        Pause::For(REST)
    }

    /// Sends SIGTERM. Returns whether [`Self::run`] is to be called now: the first process of a
    /// container ignores a signal that it has no handler for, and a shell handles one only
    /// after the command in front of it.
    pub(crate) fn terminate(&mut self) -> bool {
        if !matches!(self.trap, Some(Trap::Run(_))) {
            return false;
        }
        self.is_terminated = true;
        std::mem::take(&mut self.is_waiting)
    }

    fn carry_out(&mut self, command: &Command, room: &mut Room) -> Outcome {
        let words: Vec<String> = command.words.iter().map(|word| word.expand(room)).collect();
        if let [name, handler, signals @ ..] = words.as_slice()
            && name == "trap"
        {
            if signals.iter().any(|signal| signal == "TERM") {
                self.trap = Some(if handler.is_empty() {
                    Trap::Ignore
                } else {
                    match compile(handler) {
                        Ok(program) => Trap::Run(Arc::new(program)),
                        Err(_) => return Outcome::Status(2),
                    }
                });
            }
            return Outcome::Status(0);
        }
        let output = command.output.as_ref();
        let mut text = String::new();
        let outcome = command::run(&words, room, &mut text);
        match output {
            Some(output) => {
                let file = output.file.expand(room);
                if let Err(problem) = room.write(&file, &text, output.is_append) {
                    room.print(&format!("sh: can't create {file}: {problem}\n"));
                    return Outcome::Status(1);
                }
            }
            None => room.print(&text),
        }
        outcome
    }
}

/// Runs a script to its end at once, as a probe does; `None` when it would take longer.
pub(crate) fn probe(program: &Arc<Program>, room: &mut Room) -> Option<i32> {
    match Process::new(program.clone()).run(room) {
        Pause::Ended(End::Exit(status)) => Some(status),
        Pause::Ended(End::OutOfMemory) => Some(137),
        Pause::For(_) => None,
    }
}

impl Word {
    fn expand(&self, room: &Room) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(name) => room.variable(name),
        });
        parts.collect()
    }
}

/// Makes a program of the words that a container or a probe is started with; `None` when the image
/// has no such program.
pub(crate) fn program(words: &[String]) -> Option<Program> {
    let name = words.first()?;
    let name = name.strip_prefix("/bin/").unwrap_or(name);
    if name == "sh" {
        let [flag, script, ..] = &words[1..] else {
            return None;
        };
        // A script that cannot be read ends the shell with 2.
        return (flag == "-c").then(|| compile(script).unwrap_or_else(|_| exit(2)));
    }
    let word = |text: &String| Word(vec![Part::Text(text.clone())]);
    command::is_program(name).then(|| Program {
        ops: vec![Op::Run(Command {
            words: words.iter().map(word).collect(),
            ..Command::default()
        })],
    })
}

fn exit(status: i32) -> Program {
    let words = ["exit".to_owned(), status.to_string()];
    let words = words.map(|text| Word(vec![Part::Text(text)])).into();
    Program {
        ops: vec![Op::Run(Command {
            words,
            ..Command::default()
        })],
    }
}

#[cfg(test)]
mod tests;
