//! Wrong and right usage of the program.

mod common;

use common::Run;
use std::fs;

const COMMANDS: [&str; 6] = ["optimize", "render", "eval", "convert", "devices", "bench"];

#[test]
fn wrong_usage_exits_with_2_and_says_so_in_json() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, said) in [
        (&["nonsense"][..], "nonsense"),
        (&["render", "--sizes", "3x3"], "--size"),
        (&["render", "a.glb", "--size", "big"], "256x256"),
        (&["render", "a.glb", "--set", "sise=3x3"], "did you mean \"size\"?"),
        (&["render"], "MODEL"),
        (&["eval", "a"], "--against"),
        (&["convert", "a.glb", "b.doc"], ".obj"),
        (&["optimize", "a.glb", "--optimizer", "adm"], "adam"),
        (&["run"], "job file"),
        (&["--device"], "--device"),
    ] {
        let run = Run::new(folder.path(), &[arguments, &["--json"]].concat());
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.err);
        let json = run.json();
        let error = &json["error"];
        let text = format!("{} {} {}", error["message"], error["location"], error["help"]).replace("\\\"", "\"");
        assert!(text.contains(said), "{arguments:?}: {text}");
        assert!(json["command"].is_string());
    }
}

#[test]
fn missing_files_exit_with_1_and_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["render", "nowhere.glb"][..],
        &["convert", "nowhere.glb", "b.glb"],
        &["run", "nowhere.toml"],
        &["eval", "nowhere", "--against", "b.png"],
    ] {
        let run = Run::new(folder.path(), &[arguments, &["--json"]].concat());
        assert_eq!(run.code, 1, "{}", run.err);
        assert!(run.json()["error"].to_string().contains("nowhere"), "{}", run.out);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
    }
}

#[test]
fn every_printed_job_is_printed_again_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let first = Run::new(folder.path(), &[command, "--seed", "7", "--print-job"]);
        assert_eq!(first.code, 0, "{}", first.err);
        assert!(first.out.contains(&format!("command = \"{command}\"")) && first.out.contains("seed = 7"));
        fs::write(folder.path().join("job.toml"), &first.out).unwrap();
        let again = Run::new(folder.path(), &["run", "job.toml", "--print-job"]);
        assert_eq!((again.code, &again.out), (0, &first.out), "{}", again.err);
    }
}

#[test]
fn job_files_are_merged_with_flags_and_their_mistakes_have_lines() {
    let folder = tempfile::tempdir().unwrap();
    let job = "command = \"optimize\"\nscene = \"../a.glb\"\nsize = \"64x64\"\n[init]\n\"/a\" = 0.5\n";
    fs::create_dir(folder.path().join("jobs")).unwrap();
    fs::write(folder.path().join("jobs/job.toml"), job).unwrap();
    let flags = ["--iterations", "3", "--init", "/b=noise:0.1", "--param", "/a=0.1", "--set", "seed=9", "--print-job"];
    for start in [&["optimize", "jobs/job.toml"][..], &["run", "jobs/job.toml"]] {
        let run = Run::new(folder.path(), &[start, &flags].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        for line in [
            "scene = \"jobs/../a.glb\"",
            "iterations = 3",
            "seed = 9",
            "size = \"64x64\"",
            "\"/b\" = \"noise:0.1\"",
            "lr = 0.1",
        ] {
            assert!(run.out.contains(line), "{line}\n{}", run.out);
        }
    }
    fs::write(folder.path().join("bad.toml"), "command = \"render\"\n\ncamra = \"x\"\n").unwrap();
    let run = Run::new(folder.path(), &["run", "bad.toml"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("bad.toml:3: unknown key \"camra\", did you mean \"camera\"?"), "{}", run.err);
    let run = Run::new(folder.path(), &["optimize", "--job", "bad.toml"]);
    assert_eq!(run.code, 2, "{}", run.err);
}

#[test]
fn help_names_every_flag_with_its_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path(), &["--help"]);
    assert_eq!(run.code, 0);
    COMMANDS.iter().for_each(|c| assert!(run.out.contains(c), "{c}"));
    let run = Run::new(folder.path(), &["optimize", "--help"]);
    let flags = "--views --target --size --param --list-params --init --perturb-cameras --environment --representation \
                 --topology --optimizer --gradient --loss --uncertainty --find-lr --device --seed --iterations --seconds \
                 --stop-loss --batch --out --resume --set --print-job --quiet --json --profile --threads --deterministic \
                 --hdr --downscale --max-size --background --scene-type";
    for flag in flags.split_whitespace() {
        assert!(run.out.contains(flag), "{flag}");
    }
    assert!(run.out.contains("one in eight held out"), "the help texts are those of the job file");
}
