//! The commands that an image has.

use std::time::Duration;

use super::{End, Outcome};
use crate::controllers::room::Room;

/// Files in the image; whatever else is called is not found.
const PROGRAMS: [&str; 18] = [
    "[", "cat", "dd", "echo", "false", "grep", "hostname", "httpd", "id", "mkdir", "printenv",
    "pwd", "rm", "sleep", "tail", "test", "touch", "true",
];

/// Whether an image has a program of this name.
pub(super) fn is_program(name: &str) -> bool {
    PROGRAMS.contains(&name)
}

/// Runs one command; what it prints goes to `output`.
pub(super) fn run(words: &[String], room: &mut Room, output: &mut String) -> Outcome {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((name, arguments)) = words.split_first() else {
        return Outcome::Status(0);
    };
    let name = name.strip_prefix("/bin/").unwrap_or(name);
    let status = match (name, arguments) {
        (":" | "true" | "mkdir", _) => 0,
        ("false", _) => 1,
        ("echo", _) => {
            *output = format!("{}\n", arguments.join(" "));
            0
        }
        ("exec", [_, ..]) => return exec(arguments, room, output),
        ("exit", _) => {
            let code = arguments.first().and_then(|code| code.parse().ok());
            return Outcome::End(End::Exit(code.unwrap_or(0)));
        }
        ("sleep", [time]) => return sleep(time),
        ("wait", _) => return Outcome::Wait,
        ("tail", ["/dev/zero"]) => return Outcome::End(End::OutOfMemory),
        ("cat", files) => cat(files, room, output),
        ("grep", ["-q", text, file]) => grep(text, file, room),
        ("touch", files) => touch(files, room),
        ("rm", files) => {
            let files = files.iter().filter(|file| !file.starts_with('-'));
            files.for_each(|file| room.remove(file));
            0
        }
        ("dd", _) => return dd(arguments, room),
        ("test", _) => test(arguments, room),
        ("[", [inner @ .., "]"]) => test(inner, room),
        ("httpd", _) => httpd(arguments, room),
        ("hostname", []) => {
            *output = format!("{}\n", room.variable("HOSTNAME"));
            0
        }
        ("printenv", [variable]) => {
            *output = format!("{}\n", room.variable(variable));
            i32::from(!room.has_variable(variable))
        }
        ("pwd", []) => {
            *output = format!("{}\n", room.folder);
            0
        }
        ("id", ["-u"]) => {
            *output = format!("{}\n", room.user);
            0
        }
        _ => {
            room.print(&format!("sh: {name}: not found\n"));
            127
        }
    };
    Outcome::Status(status)
}

/// The program is replaced: its status is that of what replaces it.
fn exec(arguments: &[&str], room: &mut Room, output: &mut String) -> Outcome {
    let words: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    if !is_program(arguments[0]) {
        room.print(&format!("sh: exec: {}: not found\n", arguments[0]));
        return Outcome::End(End::Exit(127));
    }
    match run(&words, room, output) {
        Outcome::Status(status) => {
            room.print(output);
            Outcome::End(End::Exit(status))
        }
        other => other,
    }
}

fn sleep(time: &str) -> Outcome {
    match time.parse::<f64>() {
        Ok(seconds) if (0.0..1e9).contains(&seconds) => {
            Outcome::Sleep(Duration::from_secs_f64(seconds))
        }
        _ => Outcome::Status(1),
    }
}

fn cat(files: &[&str], room: &mut Room, output: &mut String) -> i32 {
    let mut status = 0;
    for file in files {
        match room.read(file) {
            Some(text) => output.push_str(&text),
            None => {
                let problem = format!("cat: can't open '{file}': No such file or directory\n");
                room.print(&problem);
                status = 1;
            }
        }
    }
    status
}

fn grep(text: &str, file: &str, room: &Room) -> i32 {
    match room.read(file) {
        Some(content) => i32::from(!content.contains(text)),
        None => 2,
    }
}

fn touch(files: &[&str], room: &mut Room) -> i32 {
    let mut status = 0;
    for file in files {
        if room.read(file).is_some() {
            continue;
        }
        if let Err(problem) = room.write(file, "", false) {
            room.print(&format!("touch: {file}: {problem}\n"));
            status = 1;
        }
    }
    status
}

/// Writes so many mebibytes: `dd if=/dev/zero of=FILE bs=1M count=N`.
fn dd(arguments: &[&str], room: &mut Room) -> Outcome {
    let value = |name: &str| {
        let mut values = arguments.iter().filter_map(|word| word.split_once('='));
        values
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    };
    let (Ok(count), file) = (value("count").parse::<u64>(), value("of")) else {
        return Outcome::Status(1);
    };
    Outcome::Status(i32::from(room.fill(file, count << 20).is_err()))
}

fn test(arguments: &[&str], room: &Room) -> i32 {
    let is_true = match arguments {
        ["!", rest @ ..] => test(rest, room) != 0,
        ["-e" | "-f", file] => room.read(file).is_some(),
        ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        [left, "=", right] => left == right,
        [left, "!=", right] => left != right,
        _ => return 2,
    };
    i32::from(!is_true)
}

/// Serves in the background: `httpd -p PORT -h FOLDER`.
fn httpd(arguments: &[&str], room: &mut Room) -> i32 {
    let after = |flag: &str| {
        let position = arguments.iter().position(|word| *word == flag)?;
        arguments.get(position + 1).copied()
    };
    match after("-p").and_then(|port| port.parse().ok()) {
        Some(port) => {
            room.listen(port, after("-h").unwrap_or("."));
            0
        }
        None => 1,
    }
}
