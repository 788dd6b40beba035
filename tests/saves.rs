//! Saving when things go wrong: a process that is killed at any moment, a full disk, a folder that nobody may write to. The
//! file is the old one or the new one, whole.
//!
//! `GRADUS_TEST_KILLS` says how often a process is killed: 20 times unless it is set. `GRADUS_TEST_MUST_MOUNT=1` makes it a
//! failure that disks cannot be mounted, or users not changed.
#![cfg(feature = "npy")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::common::{Folder, LIMIT, again};
use gradus::{
    Activation, Checkpoint, Device, Model, Network, Trainer, TrainerSettings, data::formats::Npy, nn::LayerParameters,
};

/// What tells a process started by these tests in which folder to do what the test of the same name says.
const FOLDER: &str = "GRADUS_TEST_SAVES_IN";

/// A model whose every parameter is the number, `width` times 256 of them.
fn model(number: u16, width: usize) -> Model {
    let network = Network::new(256).dense(width, Activation::Identity);
    let value = f32::from(number);
    Model::new(network, vec![LayerParameters::new(vec![value; 256 * width], vec![value; width])]).expect("a model")
}

/// The number that every parameter of a model is.
fn number(model: &Model) -> u16 {
    let layer = &model.parameters[0];
    let first = layer.bias[0];
    assert!(layer.weight.iter().chain(&layer.bias).all(|value| *value == first), "a mixture");
    first as u16
}

const MODEL: &str = "model.safetensors";
const CHECKPOINT: &str = "checkpoint.safetensors";
const ARRAY: &str = "array.npy";

/// Saves one thing after another, each with the next number, until it is killed.
fn save_for_ever(folder: &Path) {
    let network = Network::new(256).dense(200, Activation::Identity);
    let mut trainer =
        Trainer::without_dataset(&Device::cpu(), &network, TrainerSettings::default()).expect("a trainer");
    for next in 1.. {
        let model = model(next, 200);
        trainer.set_parameters(&model.parameters).expect("they fit");
        model.save(folder.join(MODEL)).expect("a file");
        trainer.checkpoint().and_then(|c| c.save(folder.join(CHECKPOINT))).expect("a file");
        let array = Npy::new([200, 256], vec![f32::from(next); 200 * 256]).expect("an array");
        array.save(folder.join(ARRAY)).expect("a file");
        if next == 1 {
            println!("saving");
        }
    }
}

#[test]
fn a_save_that_is_killed_leaves_the_old_file_or_the_new() {
    if let Some(folder) = env::var_os(FOLDER) {
        return save_for_ever(Path::new(&folder));
    }
    let times: u32 = env::var("GRADUS_TEST_KILLS").map_or(20, |times| times.parse().expect("a number of kills"));
    let own = Folder::new();
    let folder = own.0.as_path();
    let [mut same, mut between, mut left] = [0, 0, 0];
    for kill in 0..times {
        let mut child: Child = again("saves::a_save_that_is_killed_leaves_the_old_file_or_the_new")
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(lines.any(|line| line.ends_with("saving"))));
        let saves = told.recv_timeout(LIMIT);
        // Anywhere in the next few saves: the golden ratio's multiples fall everywhere.
        let moment = f64::from(kill) * 0.618_033_988_749_895 % 1.0;
        let start = Instant::now();
        thread::sleep(Duration::from_secs_f64(0.02 * moment));
        child.kill().expect("it runs");
        let ended = child.wait().expect("it ended");
        assert_eq!(saves, Ok(true), "it saves nothing");
        assert!(!ended.success(), "it ended by itself, after {:?}", start.elapsed());
        let numbers = [
            number(&Model::load(folder.join(MODEL)).unwrap_or_else(|error| panic!("kill {kill}: {error}"))),
            number(
                &Checkpoint::load(folder.join(CHECKPOINT)).unwrap_or_else(|error| panic!("kill {kill}: {error}")).model,
            ),
            {
                let array = Npy::load(folder.join(ARRAY)).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
                let values = array.into_values();
                let gradus::Features::F32(values) = values else { panic!("kill {kill}: other values") };
                assert!(values.iter().all(|value| *value == values[0]), "a mixture");
                values[0] as u16
            },
        ];
        // They are saved in this order.
        assert!(numbers.is_sorted_by(|a, b| a >= b) && numbers[0] - numbers[2] <= 1, "kill {kill}: {numbers:?}");
        if numbers[0] == numbers[2] {
            same += 1
        } else {
            between += 1
        }
        // What was being written stays beside, under a name that is nobody's.
        for file in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()) {
            if ![MODEL, CHECKPOINT, ARRAY].iter().any(|name| file.ends_with(name)) {
                assert_eq!(file.extension(), Some("new".as_ref()), "{file:?}");
                fs::remove_file(file).expect("it is there");
                left += 1;
            }
        }
    }
    println!(
        "{times} kills: {left} in the middle of a file, {between} between the first and the last, {same} elsewhere"
    );
}

/// Tries to save what has no room, or no place: every kind of file, over an old one.
#[cfg(unix)]
fn fail_to_save(folder: &Path) {
    use gradus::Error;
    let before = files(folder);
    let (large, path) = (model(2, 200), folder.join(MODEL));
    let mut trainer =
        Trainer::without_dataset(&Device::cpu(), &large.network, TrainerSettings::default()).expect("a trainer");
    let array = Npy::new([200, 256], vec![2.0; 200 * 256]).expect("an array");
    let tries = [
        large.save(&path),
        large.save_weights(&path, &gradus::model::TensorNames::sequential(&large.network)),
        large.save_onnx(&path),
        trainer.checkpoint().and_then(|checkpoint| checkpoint.save(&path)),
        array.save(&path),
        large.save(folder.join("new.safetensors")),
    ];
    for (number, tried) in tries.into_iter().enumerate() {
        let Err(Error::Io { path, reason: why }) = tried else { panic!("save {number}: {tried:?}") };
        println!("save {number}: {}: {why}", path.display());
        assert_eq!(files(folder), before, "after save {number}");
    }
}

/// What this machine does not let a test do.
#[cfg(unix)]
fn skip(what: &str) {
    assert_ne!(env::var("GRADUS_TEST_MUST_MOUNT").as_deref(), Ok("1"), "{what}");
    println!("skipped: {what}");
}

/// The names of the files in a folder, and what is in them.
#[cfg(unix)]
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
    files.sort();
    files
}

#[cfg(unix)]
#[test]
fn a_save_without_room_is_an_error_that_leaves_the_old_file_alone() {
    use crate::common::run;
    use std::os::unix::fs::PermissionsExt;
    const NAME: &str = "saves::a_save_without_room_is_an_error_that_leaves_the_old_file_alone";
    if let Some(folder) = env::var_os(FOLDER) {
        return fail_to_save(Path::new(&folder));
    }
    let own = Folder::new();
    let folder = own.0.as_path();
    model(1, 1).save(folder.join(MODEL)).expect("a file");
    // A shell sets the stage and becomes this test. `ulimit -f` counts blocks of 512 or 1024 bytes.
    let staged = |stage: &str| {
        let test = again(NAME);
        let script = format!("folder=$0; {stage}; exec \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(folder).arg(test.get_program()).args(test.get_args()).env(FOLDER, folder);
        shell
    };
    let fails = |command: &mut Command| println!("{}", run(command).expect(0, &["1 passed"]).stdout);
    fails(&mut staged("trap '' XFSZ; ulimit -f 100"));

    // A folder that nobody may write to. Root may, and has to become somebody else, who may not reach this program.
    let mode = |mode| fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("it is ours");
    let can = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let other = |program: &Path, like: &Command| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups"]).arg(program).args(like.get_args()).env(FOLDER, folder);
        command
    };
    mode(0o555);
    let program = folder.with_extension("test");
    fs::copy(env::current_exe().expect("a file"), &program).expect("a copy");
    if !can(Command::new("test").arg("-w").arg(folder)) {
        fails(again(NAME).env(FOLDER, folder));
    } else if can(&mut other(&program, Command::new(&program).arg("--list"))) {
        fails(&mut other(&program, &again(NAME)));
    } else {
        skip("a folder that nobody may write to: root cannot become somebody else");
    }
    fs::remove_file(program).expect("it is there");
    mode(0o755);

    // A disk of its own, seen by its processes alone: full, then read-only.
    let mount = "mount -t tmpfs -o size=64k gradus \"$folder\" && cp \"$folder.old\" \"$folder/model.safetensors\"";
    fs::copy(folder.join(MODEL), folder.with_extension("old")).expect("a copy");
    let unshared = |stage: String| {
        let plain = staged(&stage);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh"]).args(plain.get_args()).env(FOLDER, folder);
        command
    };
    if can(Command::new("unshare").args(["--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs gradus /mnt"])) {
        for last in ["true", "mount -o remount,ro \"$folder\""] {
            fails(&mut unshared(format!("{mount} && {last} || exit 9")));
        }
    } else {
        skip("a disk that is full and one that is read-only: nothing can be mounted");
    }
    assert_eq!(number(&Model::load(folder.join(MODEL)).expect("the old one")), 1);
    fs::remove_file(folder.with_extension("old")).expect("it is there");
}
