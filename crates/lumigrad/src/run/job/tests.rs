use super::commands::{BudgetKeys, OptimizeJob};
use super::*;
use crate::Error;
use std::path::{Path, PathBuf};

fn parse(text: &str) -> crate::Result<Document> {
    Document::parse_text(text, "job.toml", Path::new("jobs"))
}

fn message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn every_preset_fits_its_key() {
    for command in Command::all() {
        for key in &command.keys {
            let (Preset::Default(text) | Preset::Example(text)) = key.preset;
            let value = document::literal(text);
            let canonical =
                key.kind.normalise(value.clone()).unwrap_or_else(|e| panic!("{} {}: {e}", command.name, key.name));
            match key.kind {
                Kind::Params | Kind::Inits => {}
                _ => assert_eq!(canonical, value, "{} {}: the preset is not in canonical form", command.name, key.name),
            }
        }
    }
}

#[test]
fn every_printed_default_job_parses_back() {
    for command in Command::all() {
        let document = Document::new(command.clone());
        let text = document.to_toml();
        let again = Document::parse_text(&text, "job.toml", Path::new(""))
            .unwrap_or_else(|e| panic!("{}: {e}\n{text}", command.name));
        assert_eq!(again.to_toml(), text);
        for key in &command.keys {
            assert!(
                text.contains(&format!("{} = ", key.name)) || text.contains(&format!("[{}]", key.name)),
                "{}",
                key.name
            );
        }
    }
}

#[test]
fn examples_behind_comments_are_valid_when_uncommented() {
    for command in Command::all() {
        let text = Document::new(command).to_toml();
        let open = |line: &str| match line.strip_prefix("# ") {
            Some(rest)
                if rest.contains(" = ")
                    && !rest.contains("  ")
                    && rest.split(" = ").next().unwrap().split(' ').count() == 1 =>
            {
                rest.to_owned()
            }
            Some(rest) if rest.starts_with('[') => rest.to_owned(),
            _ => line.to_owned(),
        };
        let text: Vec<String> = text.lines().map(open).collect();
        parse(&text.join("\n")).unwrap();
    }
}

#[test]
fn a_full_job_is_typed() {
    let document = parse(
        r#"
        command = "optimize"
        scene = "../assets/sphere.glb"
        target = "thing.glb"
        views = 24
        size = "320x240"
        iterations = 400
        environment = [1, 1, 1]
        perturb_cameras = "5,5"
        [[param]]
        pointer = "/materials/*/x"
        lr = 0.01
        [[param]]
        pointer = "/views/*/pose"
        [init]
        "/materials/0/x" = 0.5
        "/materials/1/x" = "noise:0.25"
        "/materials/2/x" = "start.png"
        "#,
    )
    .unwrap();
    let job: OptimizeJob = document.parse().unwrap();
    assert_eq!(job.scene, Some(PathBuf::from("jobs/../assets/sphere.glb")));
    assert_eq!(job.views, Some(ViewSource::Count(24)));
    assert_eq!(job.size, Size { width: 320, height: 240 });
    assert_eq!(job.budget.iterations, Some(400));
    assert_eq!(job.perturb_cameras, Some([5.0, 5.0]));
    assert_eq!(job.environment, Some(EnvironmentChoice::Radiance([1.0; 3])));
    assert_eq!(job.param[0].lr, Some(0.01));
    assert_eq!(job.param[1].lr, None);
    assert_eq!(job.init["/materials/0/x"], InitEntry::Number(0.5));
    assert_eq!(job.init["/materials/1/x"], InitEntry::Text("noise:0.25".into()));
    assert_eq!(job.init["/materials/2/x"], InitEntry::Text("jobs/start.png".into()));
    let again = Document::parse_text(&document.to_toml(), "again", Path::new("")).unwrap();
    assert_eq!(again.to_toml(), document.to_toml());
}

#[test]
fn unknown_keys_name_their_line_and_the_nearest_known_key() {
    let text = message("command = \"optimize\"\n\niteratoins = 3\n");
    assert!(text.starts_with("job.toml:3: unknown key \"iteratoins\", did you mean \"iterations\"?"), "{text}");
    let text = message("command = \"optimize\"\n[[param]]\npointer = \"/a\"\nrl = 3\n");
    assert!(text.contains("unknown key \"rl\"") && text.contains("did you mean"), "{text}");
    let text = message("command = \"optimise\"");
    assert!(text.contains("did you mean \"optimize\"?"), "{text}");
}

#[test]
fn wrong_values_say_what_was_expected_and_found() {
    for (text, expected) in [
        ("command = \"optimize\"\nseed = -1", "job.toml:2: seed: expected a whole number of at least 0, found -1"),
        ("command = \"optimize\"\nsize = \"256\"", "job.toml:2: size: expected a size such as \"256x256\""),
        ("command = \"optimize\"\noptimizer = \"adm\"", "did you mean \"adam\"?"),
        ("command = \"optimize\"\nviews = 0", "job.toml:2: views: expected a folder, or a number of at least 1"),
        ("command = \"optimize\"\n[init]\n\n\"/a\" = []", "job.toml:"),
        ("command = \"optimize\"\nseed = ", "job.toml:2: "),
        ("seed = 1", "the job has no command"),
        ("command = \"optimize\"\nseconds = nan", "expected a number"),
    ] {
        let found = message(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
    assert!(matches!(parse("x"), Err(Error::Usage { .. })));
}

#[test]
fn flags_override_the_file_and_set_overrides_flags() {
    let mut document = parse("command = \"optimize\"\nseed = 1\nscene = \"a.glb\"\n[init]\n\"/a\" = 1\n").unwrap();
    document.set_flag("seed", vec!["2".into()]).unwrap();
    document.set_flag("scene", vec!["b.glb".into()]).unwrap();
    document.set_flag("hdr", vec![]).unwrap();
    document.set_flag("param", vec!["/x=0.5".into(), "/y".into()]).unwrap();
    document.set_flag("init", vec!["/b=1,2,3".into()]).unwrap();
    document.set_expression("seed=3").unwrap();
    document.set_expression("init./c=noise:0.5").unwrap();
    document.set_expression("param.1.lr=0.25").unwrap();
    document.set_expression("optimizer=adamw").unwrap();
    let job: OptimizeJob = document.parse().unwrap();
    assert_eq!((job.common.seed, job.hdr, job.optimizer.as_str()), (3, true, "adamw"));
    assert_eq!(job.scene, Some(PathBuf::from("b.glb")));
    assert_eq!(job.param.iter().map(|p| p.lr).collect::<Vec<_>>(), [Some(0.5), Some(0.25)]);
    assert_eq!(job.init["/a"], InitEntry::Number(1.0));
    assert_eq!(job.init["/b"], InitEntry::Vector(vec![1.0, 2.0, 3.0]));
    assert!(document.set_expression("sede=3").unwrap_err().to_string().contains("did you mean \"seed\"?"));
    assert!(document.set_expression("seed").is_err());
    assert!(document.set_expression("param.7.lr=1").is_err());
}

#[test]
fn sections_are_beginnings_of_keys() {
    let of = |text: &str| parse(text).unwrap().parse::<OptimizeJob>().unwrap().auto_regularisers;
    assert!(of("command = \"optimize\"\nscene = \"a.glb\"\n[auto]\nregularisers = true\n"));
    let error = message("command = \"optimize\"\n[auto]\nregularizers = true\n");
    assert!(error.contains("job.toml:3") && error.contains("did you mean \"auto_regularisers\"?"), "{error}");
    let mut document = parse("command = \"optimize\"\n").unwrap();
    document.set_expression("auto.regularisers=true").unwrap();
    assert!(document.is_set("auto_regularisers"));
}

#[test]
fn keys_are_declared_once() {
    assert!(BudgetKeys::keys().iter().any(|k| k.name == "stop_loss"));
    for command in Command::all() {
        let mut names: Vec<&str> = command.keys.iter().map(|k| k.name).collect();
        names.sort_unstable();
        let n = names.len();
        names.dedup();
        assert_eq!(names.len(), n, "{}", command.name);
        assert!(command.positional.iter().all(|p| command.key(p).is_some()));
    }
}
