//! Collections of a real MongoDB server: reading, refreshing, breaking off, refusing.

use serde_json::Value;

use crate::mongod::{self, Database};
use crate::world::{Output, World, redact};

fn pipeline(database: &Database, more: &str) -> String {
    let name = &database.name;
    format!(
        "stages:\n  ingest:\n    kind: ingest\n    with:\n      source: mongodb\n      mongodb:\n        uri: ${{env.TEST_URI}}\n        \
         database: {name}\n        collection: flows\n{more}"
    )
}

fn run(world: &World, database: &Database, args: &[&str]) -> Output {
    let output = world
        .command(args)
        .env("TEST_URI", &database.uri)
        .output()
        .unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn ok(world: &World, database: &Database, args: &[&str]) -> Output {
    let output = run(world, database, args);
    assert_eq!(
        output.code, 0,
        "{args:?}: {}{}",
        output.stdout, output.stderr
    );
    output
}

fn documents(range: std::ops::Range<usize>) -> Vec<String> {
    range
        .map(|i| {
            format!(
                r#"{{"_id": {i}, "bytes": {}, "at": {{"$date": {}}}, "host": {{"name": "h{}"}}, "proto": "tcp"}}"#,
                i * 7 % 101,
                1_000 * i,
                i % 5
            )
        })
        .collect()
}

/// The files of the dataset and their digests.
fn parts(world: &World, database: &Database) -> Vec<(String, blake3::Hash)> {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("parts");
    ok(
        world,
        database,
        &["cat", "ingest.data", "-o", to.to_str().unwrap()],
    );
    let files = netsec::base::disk::walk(&to).unwrap();
    files
        .into_iter()
        .map(|(name, path)| (name, blake3::hash(&std::fs::read(path).unwrap())))
        .collect()
}

#[test]
fn every_type_of_a_document_becomes_a_cell() {
    let Some(database) = Database::new("types") else {
        return;
    };
    database.insert(&[
        r#"{"_id": {"$oid": "507f1f77bcf86cd799439011"}, "int": 1, "long": {"$numberLong": "9007199254740993"}, "double": 0.5, "decimal": {"$numberDecimal": "2.25"}, "text": "x", "flag": true, "at": {"$date": "2026-01-02T03:04:05.678Z"}, "ref": {"$oid": "507f1f77bcf86cd799439012"}, "in": {"deep": {"er": 7}}, "list": [1, {"a": 2}], "none": null}"#.to_owned(),
        r#"{"_id": {"$oid": "507f1f77bcf86cd799439013"}, "int": {"$numberLong": "2"}, "double": 3, "text": "na", "none": null}"#.to_owned(),
    ]);
    let world = World::new();
    world.write("p.yaml", pipeline(&database, "        keep_id: true\n"));
    ok(&world, &database, &["run", "p.yaml"]);
    insta::assert_snapshot!(ok(&world, &database, &["cat", "ingest.data"]).stdout, @r#"
    _id,int,long,double,decimal,text,flag,at,ref,in.deep.er,list,none
    507f1f77bcf86cd799439011,1,9007199254740993,0.5,2.25,x,true,2026-01-02T03:04:05.678Z,507f1f77bcf86cd799439012,7,"[1,{""a"":2}]",
    507f1f77bcf86cd799439013,2,,3.0,,,,,,,,
    "#);
    let report: Value =
        serde_json::from_str(&ok(&world, &database, &["cat", "ingest.report"]).stdout).unwrap();
    let kinds: Vec<String> = report["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            format!(
                "{} {}",
                column["name"].as_str().unwrap(),
                column["type"].as_str().unwrap()
            )
        })
        .collect();
    insta::assert_snapshot!(kinds.join(", "), @"_id text, int int, long int, double float, decimal float, text text, flag bool, at time, ref text, in.deep.er int, list text, none empty");
}

#[test]
fn cells_that_do_not_fit_together_are_told_with_their_documents() {
    let Some(database) = Database::new("conflicts") else {
        return;
    };
    let mut rows = documents(0..30);
    rows.push(r#"{"_id": 77, "bytes": "many", "proto": 6}"#.to_owned());
    database.insert(&rows);
    let world = World::new();
    world.write("p.yaml", pipeline(&database, ""));
    let refused = run(&world, &database, &["run", "p.yaml"]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    for part in [
        "`bytes`: 30 int (such as _id 0, _id 1, _id 2), 1 text (such as _id 77)",
        "`proto`: 1 int (such as _id 77), 30 text",
    ] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    world.write("p.yaml", pipeline(&database, "      conflicts: text\n"));
    let kept = ok(&world, &database, &["run", "p.yaml"]);
    assert!(
        kept.stderr.contains("kept as text: `bytes`"),
        "{}",
        kept.stderr
    );
    world.write(
        "p.yaml",
        pipeline(&database, "      types: { bytes: int, proto: text }\n"),
    );
    let typed = run(&world, &database, &["run", "p.yaml"]);
    assert!(
        typed
            .stderr
            .contains("column `bytes`: \"many\" in _id 77 is not of the type int"),
        "{}",
        typed.stderr
    );
}

#[test]
fn new_documents_are_added_to_the_last_part_only() {
    let Some(database) = Database::new("ids") else {
        return;
    };
    database.insert(&documents(0..30_000));
    let world = World::new();
    world.write(
        "p.yaml",
        pipeline(&database, "        incremental: { by: _id }\n"),
    );
    ok(&world, &database, &["run", "p.yaml"]);
    let before = parts(&world, &database);
    assert!(before.len() >= 7, "{before:?}");
    let again = ok(&world, &database, &["run", "p.yaml"]);
    assert!(
        again.stderr.contains("reused    ingest"),
        "{}",
        again.stderr
    );
    database.insert(&documents(30_000..30_300));
    let added = ok(&world, &database, &["run", "p.yaml"]);
    assert!(
        added
            .stderr
            .contains("300 documents are new or changed since the last time"),
        "{}",
        added.stderr
    );
    let after = parts(&world, &database);
    let same = before
        .iter()
        .filter(|(_, digest)| after.iter().any(|(_, other)| other == digest))
        .count();
    assert!(
        same >= before.len() - 3,
        "all but the last part, its documents and the index: {same} of {}",
        before.len()
    );
    // The same as if all had been read at once.
    let full = ok(&world, &database, &["run", "p.yaml", "--full"]);
    assert!(
        full.stderr
            .contains("all 30300 documents were known as they are"),
        "{}",
        full.stderr
    );
    assert_eq!(parts(&world, &database), after);
}

#[test]
fn changed_documents_replace_what_they_were_and_a_full_read_tells_the_rest() {
    let Some(database) = Database::new("updates") else {
        return;
    };
    database.insert(&documents(0..20_000));
    let world = World::new();
    world.write(
        "p.yaml",
        pipeline(&database, "        incremental: { by: at }\n"),
    );
    ok(&world, &database, &["run", "p.yaml"]);
    database.say(r#"{"update": "flows", "updates": [{"q": {"_id": 5}, "u": {"$set": {"bytes": 5000, "at": {"$date": 99000000000}}}}]}"#);
    database
        .insert(&[r#"{"_id": -1, "bytes": 1, "at": {"$date": 99000000000}, "host": {"name": "h1"}, "proto": "udp"}"#
            .to_owned()]);
    let refreshed = ok(&world, &database, &["run", "p.yaml"]);
    // The document with the last known time comes again, and changes nothing.
    assert!(
        refreshed.stderr.contains("3 documents are new or changed"),
        "{}",
        refreshed.stderr
    );
    let rows = ok(&world, &database, &["cat", "ingest.data"]).stdout;
    assert_eq!(rows.lines().count(), 20_002);
    assert!(
        rows.lines().nth(1).unwrap().starts_with("1,")
            && rows.lines().nth(7).unwrap().starts_with("5000,"),
        "in the order of their ids"
    );
    // Deleted, and changed without a word: only a full read can tell.
    database.say(
        r#"{"delete": "flows", "deletes": [{"q": {"_id": {"$in": [7, 19999]}}, "limit": 0}]}"#,
    );
    database.say(
        r#"{"update": "flows", "updates": [{"q": {"_id": 8}, "u": {"$set": {"bytes": 8000}}}]}"#,
    );
    let full = ok(&world, &database, &["run", "p.yaml", "--full"]);
    assert!(
        full.stderr
            .contains("2 documents were deleted since the last time, such as"),
        "{}",
        full.stderr
    );
    assert!(
        full.stderr
            .contains("1 documents were changed since the last time"),
        "{}",
        full.stderr
    );
    assert_eq!(
        ok(&world, &database, &["cat", "ingest.data"])
            .stdout
            .lines()
            .count(),
        20_000
    );
}

#[test]
fn a_cursor_that_is_lost_is_taken_up_where_it_was() {
    let Some(database) = Database::new("cursors") else {
        return;
    };
    if !database.can_be_made_to_fail() {
        return;
    }
    database.insert(&documents(0..12_000));
    let world = World::new();
    world.write("p.yaml", pipeline(&database, ""));
    ok(&world, &database, &["run", "p.yaml"]);
    let whole = parts(&world, &database);
    // The failpoint meets only this program's commands on this collection.
    for data in [r#""errorCode": 43"#, r#""closeConnection": true"#] {
        let fail = |mode: &str, data: &str| {
            mongod::say(
                &database.uri,
                "admin",
                &format!(
                    r#"{{"configureFailPoint": "failCommand", "mode": {mode}, "data": {{"failCommands": ["getMore"], "namespace": "{}.flows", {data}}}}}"#,
                    database.name
                ),
            )
        };
        fail(r#"{"times": 2}"#, data);
        let output = ok(&world, &database, &["run", "p.yaml", "--force"]);
        fail(r#""off""#, data);
        assert!(
            output
                .stderr
                .contains("the connection broke off 2 times and was taken up again"),
            "{}",
            output.stderr
        );
        assert_eq!(parts(&world, &database), whole);
    }
}

#[test]
fn what_cannot_be_read_is_told_clearly() {
    let Some(database) = Database::new("refusals") else {
        return;
    };
    database.insert(&documents(0..3));
    let world = World::new();
    let refused = |text: &str, uri: &str| {
        world.write("p.yaml", text);
        let output = world
            .command(&["run", "p.yaml"])
            .env("TEST_URI", uri)
            .output()
            .unwrap();
        assert!(!output.status.success());
        redact(&String::from_utf8(output.stderr).unwrap(), world.root())
    };
    let good = pipeline(&database, "        timeout_seconds: 0.3\n");
    let closed = refused(&good, "mongodb://user:hunter2@127.0.0.1:9/");
    assert!(
        closed.contains("no server answered within 0.3 s") && !closed.contains("hunter2"),
        "{closed}"
    );
    let nonsense = refused(&good, "mongo//user:hunter2@");
    assert!(
        nonsense.contains("is not the address of a MongoDB server")
            && !nonsense.contains("hunter2"),
        "{nonsense}"
    );
    let other = refused(
        &good.replace("collection: flows", "collection: flwos"),
        &database.uri,
    );
    assert!(
        other.contains("has no collection `flwos`: did you mean `flows`?"),
        "{other}"
    );
    let nowhere = refused(
        &good.replace(&database.name, "netsec_nowhere"),
        &database.uri,
    );
    assert!(
        nowhere.contains("there is no database `netsec_nowhere`"),
        "{nowhere}"
    );
    let program = refused(
        &pipeline(&database, "        filter: '{\"$where\": \"true\"}'\n"),
        &database.uri,
    );
    assert!(
        program.contains("`$where` runs a program on the server, which is refused"),
        "{program}"
    );
    let none = refused(
        &pipeline(
            &database,
            "        filter: '{\"bytes\": {\"$gt\": 1000}}'\n",
        ),
        &database.uri,
    );
    assert!(none.contains("there are no rows"), "{none}");
    world.write("p.yaml", good);
    let unset = world.netsec(&["run", "p.yaml"]);
    assert!(
        unset
            .stderr
            .contains("the environment variable `TEST_URI` is not set"),
        "{}",
        unset.stderr
    );
}

#[test]
fn a_file_that_was_pushed_reads_back_the_same() {
    let Some(database) = Database::new("push") else {
        return;
    };
    let world = World::new();
    world.write(
        "flows.csv",
        "bytes,rate,proto,ok\n1,0.5,tcp,true\n2,,udp,false\n3,1.5,na,true\n",
    );
    let push = [
        "data",
        "push",
        "flows.csv",
        "--to",
        "${env.TEST_URI}",
        "--database",
        &database.name,
        "--collection",
        "flows",
    ];
    let pushed = ok(&world, &database, &push);
    assert!(
        pushed.stderr.contains("3 documents are in"),
        "{}",
        pushed.stderr
    );
    world.write("p.yaml", pipeline(&database, ""));
    world.write(
        "q.yaml",
        "stages: { ingest: { kind: ingest, inputs: { data: ./flows.csv } } }",
    );
    ok(&world, &database, &["run", "p.yaml"]);
    let from_collection = ok(&world, &database, &["cat", "ingest.data"]).stdout;
    ok(&world, &database, &["run", "q.yaml"]);
    assert_eq!(
        from_collection,
        ok(&world, &database, &["cat", "q:ingest.data"]).stdout
    );
    ok(&world, &database, &[&push[..], &["--replace"]].concat());
    ok(&world, &database, &["run", "p.yaml"]);
    assert_eq!(
        from_collection,
        ok(&world, &database, &["cat", "p.yaml:ingest.data"]).stdout
    );
}

#[test]
fn a_pipeline_is_run_again_when_its_collection_changes() {
    let Some(database) = Database::new("watch") else {
        return;
    };
    if !database.tells_of_changes() {
        return;
    }
    database.insert(&documents(0..10));
    let world = World::new();
    world.write(
        "p.yaml",
        pipeline(&database, "        incremental: { by: _id }\n"),
    );
    let mut command = world.command(&["watch", "p.yaml", "--rounds", "2"]);
    let mut child = command
        .env("TEST_URI", &database.uri)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()))
        .map(Result::unwrap);
    assert!(
        lines.any(|line| line.starts_with("watching")),
        "the first run is over"
    );
    database.insert(&documents(10..12));
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success());
    assert!(
        rest.iter()
            .any(|line| line.contains("2 documents are new or changed")),
        "{rest:#?}"
    );
}

/// A server that wants a password and speaks TLS.
struct Guarded {
    world: World,
    port: u16,
    _keeper: std::process::Child,
}

impl Guarded {
    fn start() -> Option<Self> {
        mongod::server()?;
        let world = World::new();
        let make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem && \
                    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout s.key -out s.csr && \
                    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\\nextendedKeyUsage=serverAuth' >ext && \
                    openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out s.crt && \
                    cat s.key s.crt >s.pem";
        let made = std::process::Command::new("sh")
            .args(["-c", make])
            .current_dir(world.root())
            .output()
            .unwrap();
        if !made.status.success() {
            crate::world::skip("openssl made no certificates");
            return None;
        }
        let path = |name: &str| world.root().join(name).to_str().unwrap().to_owned();
        let flags = [
            "--auth",
            "--tlsMode",
            "preferTLS",
            "--tlsAllowConnectionsWithoutCertificates",
        ]
        .map(str::to_owned);
        let files = [
            "--tlsCertificateKeyFile".to_owned(),
            path("s.pem"),
            "--tlsCAFile".to_owned(),
            path("ca.pem"),
        ];
        let (port, keeper) = mongod::start(&[&flags[..], &files[..]].concat()).unwrap();
        let open = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
        mongod::say(
            &open,
            "admin",
            r#"{"createUser": "root", "pwd": "top", "roles": ["root"]}"#,
        );
        let root =
            format!("mongodb://root:top@127.0.0.1:{port}/?directConnection=true&authSource=admin");
        mongod::say(
            &root,
            "db",
            r#"{"insert": "flows", "documents": [{"_id": 1, "a": 2}, {"_id": 2, "a": 3}]}"#,
        );
        mongod::say(
            &root,
            "db",
            r#"{"insert": "secret", "documents": [{"_id": 1}]}"#,
        );
        mongod::say(
            &root,
            "db",
            r#"{"createRole": "one", "privileges": [{"resource": {"db": "db", "collection": "flows"}, "actions": ["find"]}], "roles": []}"#,
        );
        mongod::say(
            &root,
            "db",
            r#"{"createUser": "reader", "pwd": "p@ss/word", "roles": ["one"]}"#,
        );
        Some(Self {
            world,
            port,
            _keeper: keeper,
        })
    }
}

#[test]
fn users_passwords_and_certificates_are_asked_for_and_never_shown() {
    let Some(Guarded {
        world,
        port,
        _keeper,
    }) = Guarded::start()
    else {
        return;
    };
    let text = |more: &str| {
        format!(
            "stages: {{ ingest: {{ kind: ingest, with: {{ source: mongodb, mongodb: {{ uri: '${{env.TEST_URI}}', database: db, collection: flows, timeout_seconds: 2{more} }} }} }} }}"
        )
    };
    let run = |more: &str, uri: &str, args: &[&str]| {
        world.write("p.yaml", text(more));
        let output = world.command(args).env("TEST_URI", uri).output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8(all).unwrap();
        assert!(
            !all.contains("p%40ss%2Fword") && !all.contains("p@ss/word"),
            "{all}"
        );
        (output.status.success(), all)
    };
    let address = |user: &str, more: &str| {
        format!("mongodb://{user}127.0.0.1:{port}/?directConnection=true{more}")
    };
    let reader = address("reader:p%40ss%2Fword@", "&authSource=db");
    let (read, said) = run("", &reader, &["run", "p.yaml"]);
    assert!(read, "a user who may only read this collection: {said}");
    let (_, said) = run(
        "",
        &address("reader:p%40ss%2Fwor@", "&authSource=db"),
        &["run", "p.yaml"],
    );
    assert!(
        said.contains("the server refuses the user or the password") && !said.contains("%2Fwor"),
        "{said}"
    );
    let (_, said) = run("", &address("", ""), &["run", "p.yaml"]);
    assert!(said.contains("wants a user and a password"), "{said}");
    world.write(
        "q.yaml",
        text("").replace("collection: flows", "collection: secret"),
    );
    let (_, said) = run("", &reader, &["run", "q.yaml"]);
    assert!(said.contains("may not do this with `db.secret`"), "{said}");
    let secure = address("reader:p%40ss%2Fword@", "&authSource=db&tls=true");
    let (_, said) = run("", &secure, &["run", "p.yaml"]);
    assert!(said.contains("its certificate is not trusted"), "{said}");
    let (read, said) = run(", tls_ca_file: ca.pem", &secure, &["run", "p.yaml"]);
    assert!(read, "{said}");
    let (_, said) = run(", tls_ca_file: nowhere.pem", &secure, &["run", "p.yaml"]);
    assert!(said.contains("there is no file `nowhere.pem`"), "{said}");
    for args in [
        &["status", "p.yaml"][..],
        &["explain", "ingest", "-f", "p.yaml"],
        &["runs", "--json"],
        &["lineage", "ingest.data", "--json"],
        &["cat", "ingest.report"],
    ] {
        run("", &reader, args);
    }
    for secret in ["p%40ss%2Fword", "p@ss/word", "reader:"] {
        world.assert_not_in_cache(secret.as_bytes());
    }
}
