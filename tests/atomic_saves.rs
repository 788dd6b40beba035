//! Interrupted saves: killed processes, full disks and folders without write permission. The file must be the complete
//! old file or the complete new file.
//!
//! `GRADUS_TEST_KILLS` is the number of killed processes, 20 by default. With `GRADUS_TEST_MUST_MOUNT=1` a test fails
//! instead of skipping a part if it cannot mount a disk or change the user.
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

use crate::common::{Folder, LIMIT, child_test};
use gradus::{
    Activation, Checkpoint, Device, Model, Network, Trainer, TrainerSettings, data::formats::Npy, nn::LayerParameters,
};

/// The environment variable with the folder in which a child process saves.
const FOLDER: &str = "GRADUS_TEST_SAVES_IN";

/// Returns a model with `width` times 256 weights. All parameters are equal to `number`.
fn model(number: u16, width: usize) -> Model {
    let network = Network::new(256).dense(width, Activation::Identity);
    let value = f32::from(number);
    Model::new(network, vec![LayerParameters::new(vec![value; 256 * width], vec![value; width])]).expect("a model")
}

/// Returns the number to which all parameters of a model are equal. Panics if they differ.
fn number(model: &Model) -> u16 {
    let layer = &model.parameters[0];
    let first = layer.bias[0];
    assert!(layer.weight.iter().chain(&layer.bias).all(|value| *value == first), "a mixture of two files");
    first as u16
}

const MODEL: &str = "model.safetensors";
const CHECKPOINT: &str = "checkpoint.safetensors";
const ARRAY: &str = "array.npy";

/// Saves a model, a checkpoint and an array again and again, each time with the next number, until the process is
/// killed.
fn save_forever(folder: &Path) {
    let network = Network::new(256).dense(200, Activation::Identity);
    let mut trainer =
        Trainer::without_dataset(&Device::cpu(), &network, TrainerSettings::default()).expect("a trainer");
    for next in 1.. {
        let model = model(next, 200);
        trainer.set_parameters(&model.parameters).expect("parameters of this network");
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
fn a_killed_save_leaves_the_old_or_the_new_file() {
    if let Some(folder) = env::var_os(FOLDER) {
        return save_forever(Path::new(&folder));
    }
    let kills: u32 = env::var("GRADUS_TEST_KILLS").map_or(20, |kills| kills.parse().expect("a number of kills"));
    let temporary = Folder::new();
    let folder = temporary.0.as_path();
    let [mut outside, mut between_files, mut within_a_file] = [0, 0, 0];
    for kill in 0..kills {
        let mut child: Child = child_test("atomic_saves::a_killed_save_leaves_the_old_or_the_new_file")
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(lines.any(|line| line.ends_with("saving"))));
        let is_saving = receiver.recv_timeout(LIMIT);
        // Kill at an arbitrary time in the next few saves. The multiples of the golden ratio modulo 1 are evenly
        // distributed.
        let moment = f64::from(kill) * 0.618_033_988_749_895 % 1.0;
        let start = Instant::now();
        thread::sleep(Duration::from_secs_f64(0.02 * moment));
        child.kill().expect("the process runs");
        let status = child.wait().expect("the process ended");
        assert_eq!(is_saving, Ok(true), "the process saves nothing");
        assert!(!status.success(), "the process ended before the kill, after {:?}", start.elapsed());
        let numbers = [
            number(&Model::load(folder.join(MODEL)).unwrap_or_else(|error| panic!("kill {kill}: {error}"))),
            number(
                &Checkpoint::load(folder.join(CHECKPOINT)).unwrap_or_else(|error| panic!("kill {kill}: {error}")).model,
            ),
            {
                let array = Npy::load(folder.join(ARRAY)).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
                let values = array.into_values();
                let gradus::Features::F32(values) = values else { panic!("kill {kill}: another value type") };
                assert!(values.iter().all(|value| *value == values[0]), "a mixture of two files");
                values[0] as u16
            },
        ];
        // The process saves the files in this order.
        assert!(numbers.is_sorted_by(|a, b| a >= b) && numbers[0] - numbers[2] <= 1, "kill {kill}: {numbers:?}");
        if numbers[0] == numbers[2] {
            outside += 1
        } else {
            between_files += 1
        }
        // A kill within a file leaves a temporary file.
        for file in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()) {
            if ![MODEL, CHECKPOINT, ARRAY].iter().any(|name| file.ends_with(name)) {
                assert_eq!(file.extension(), Some("new".as_ref()), "{file:?}");
                fs::remove_file(file).expect("the temporary file");
                within_a_file += 1;
            }
        }
    }
    println!(
        "{kills} kills: {within_a_file} within a file, {between_files} between the first and the last file, {outside} \
         elsewhere"
    );
}

/// Tries to save every kind of file over an old one, without space or permission. Every save must fail and change
/// nothing.
#[cfg(unix)]
fn expect_failing_saves(folder: &Path) {
    use gradus::Error;
    let before = files(folder);
    let (large, path) = (model(2, 200), folder.join(MODEL));
    let mut trainer =
        Trainer::without_dataset(&Device::cpu(), &large.network, TrainerSettings::default()).expect("a trainer");
    let array = Npy::new([200, 256], vec![2.0; 200 * 256]).expect("an array");
    let saves = [
        large.save(&path),
        large.save_weights(&path, &gradus::model::TensorNames::sequential(&large.network)),
        large.save_onnx(&path),
        trainer.checkpoint().and_then(|checkpoint| checkpoint.save(&path)),
        array.save(&path),
        large.save(folder.join("new.safetensors")),
    ];
    for (number, result) in saves.into_iter().enumerate() {
        let Err(Error::Io { path, reason }) = result else { panic!("save {number}: {result:?}") };
        println!("save {number}: {}: {reason}", path.display());
        assert_eq!(files(folder), before, "after save {number}");
    }
}

/// Reports a part that this machine does not permit. Panics with `GRADUS_TEST_MUST_MOUNT=1`.
#[cfg(unix)]
fn skip(part: &str) {
    assert_ne!(env::var("GRADUS_TEST_MUST_MOUNT").as_deref(), Ok("1"), "{part}");
    println!("skipped: {part}");
}

/// Returns the paths and contents of the files in a folder.
#[cfg(unix)]
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
    files.sort();
    files
}

#[cfg(unix)]
#[test]
fn a_save_without_space_or_permission_keeps_the_old_file() {
    use crate::common::run;
    use std::os::unix::fs::PermissionsExt;
    const NAME: &str = "atomic_saves::a_save_without_space_or_permission_keeps_the_old_file";
    if let Some(folder) = env::var_os(FOLDER) {
        return expect_failing_saves(Path::new(&folder));
    }
    let temporary = Folder::new();
    let folder = temporary.0.as_path();
    model(1, 1).save(folder.join(MODEL)).expect("a file");
    // A shell runs `setup` and then executes this test. `ulimit -f` counts blocks of 512 or 1024 bytes.
    let with_setup = |setup: &str| {
        let test = child_test(NAME);
        let script = format!("folder=$0; {setup}; exec \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(folder).arg(test.get_program()).args(test.get_args()).env(FOLDER, folder);
        shell
    };
    let run_child = |command: &mut Command| println!("{}", run(command).expect(0, &["1 passed"]).stdout);
    run_child(&mut with_setup("trap '' XFSZ; ulimit -f 100"));

    // A folder without write permission. Root may write everywhere, so the child must run as another user, who needs a
    // copy of this program that it may read.
    let set_mode =
        |mode| fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("the test owns the folder");
    let succeeds = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let as_other_user = |program: &Path, like: &Command| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups"]).arg(program).args(like.get_args()).env(FOLDER, folder);
        command
    };
    set_mode(0o555);
    let program = folder.with_extension("test");
    fs::copy(env::current_exe().expect("a file"), &program).expect("a copy");
    if !succeeds(Command::new("test").arg("-w").arg(folder)) {
        run_child(child_test(NAME).env(FOLDER, folder));
    } else if succeeds(&mut as_other_user(&program, Command::new(&program).arg("--list"))) {
        run_child(&mut as_other_user(&program, &child_test(NAME)));
    } else {
        skip("a folder without write permission: root cannot change the user");
    }
    fs::remove_file(program).expect("the copy of the program");
    set_mode(0o755);

    // A disk in a separate mount namespace: first full, then read-only.
    let mount = "mount -t tmpfs -o size=64k gradus \"$folder\" && cp \"$folder.old\" \"$folder/model.safetensors\"";
    fs::copy(folder.join(MODEL), folder.with_extension("old")).expect("a copy");
    let in_mount_namespace = |setup: String| {
        let shell = with_setup(&setup);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh"]).args(shell.get_args()).env(FOLDER, folder);
        command
    };
    if succeeds(Command::new("unshare").args(["--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs gradus /mnt"]))
    {
        for last in ["true", "mount -o remount,ro \"$folder\""] {
            run_child(&mut in_mount_namespace(format!("{mount} && {last} || exit 9")));
        }
    } else {
        skip("a full disk and a read-only disk: mounting is not permitted");
    }
    assert_eq!(number(&Model::load(folder.join(MODEL)).expect("the old model")), 1);
    fs::remove_file(folder.with_extension("old")).expect("the old file");
}
