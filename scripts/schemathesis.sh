#!/bin/sh
# Runs schemathesis (https://schemathesis.readthedocs.io) from openapi/kiban-v1.json against a real server with invented
# people: no answer may be a fault of the platform, and each must be described. By a care manager, a home helper, the same
# through the program of a vendor, a municipality, the operator, and on the public port by nobody.
#
# usage: scripts/schemathesis.sh [examples per operation, 20]
# Needs python3 with venv and, the first time, the Python package index. Says so and ends with 3 when it cannot be had.
set -eu
cd "$(dirname "$0")/.."
examples=${1:-20}
target=${CARGO_TARGET_DIR:-target}
tools=$target/schemathesis
if ! [ -x "$tools/bin/schemathesis" ]; then
    if ! { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet 'schemathesis==4.32.5'; } > "$target/schemathesis.log" 2>&1; then
        echo "schemathesis cannot be installed here (see $target/schemathesis.log)" >&2
        rm -rf "$tools"
        exit 3
    fi
fi
# After `cargo test` it is there (with what the tests bring: another build of half of the crates is spared).
[ -n "${KIBAN_IS_BUILT:-}" ] || cargo build --quiet --workspace --bin kiban
folder=$(mktemp -d)
# Nobody is turned away for asking much. Calls that end the log-in or the account they are made with are left out below.
mkdir "$folder/sandbox"
printf 'office_requests 1000000\ninsurer_requests 1000000\ndisaster_requests 1000000\n' > "$folder/sandbox/limits.tsv"
"$target/debug/kiban" demo --sandbox --people 200 --keep "$folder/sandbox" --port 18443 --public-port 19443 --desk-port 18480 > "$folder/demo.log" 2>&1 &
demo=$!
trap 'kill $demo 2> /dev/null || true; wait $demo 2> /dev/null || true; rm -rf "$folder"' EXIT
until grep -q 準備ができました "$folder/demo.log"; do
    kill -0 $demo 2> /dev/null || { cat "$folder/demo.log" >&2; exit 1; }
    sleep 1
done
certificates=$folder/sandbox/certificates
# Every name under .localhost is this machine, whatever its resolver says. Sessions that a call has ended begin again. Every
# other call names what is there: a person, a message and its file, a receipt, a notice, an office, an insurer.
cat > "$folder/hooks.py" <<'HOOKS'
import glob, json, os, socket, ssl, time, zlib, http.client
import schemathesis

real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: real("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)
HOST, PORT = "office.localhost", 18443
CERTIFICATES, WHO, ACCOUNT, DOOR = (os.environ[name] for name in ("CERTIFICATES", "WHO", "ACCOUNT", "DOOR"))

def send(method, path, body=None, token=None, media="application/json"):
    context = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.crt")
    context.load_cert_chain(f"{CERTIFICATES}/{WHO}.crt", f"{CERTIFICATES}/{WHO}.key")
    headers = {"Content-Type": media, **({"Authorization": f"Bearer {token}"} if token else {})}
    # Two files are taken at once: a third is asked to come back (503), as another run beside this one may make it.
    for _ in range(60):
        line = http.client.HTTPSConnection(HOST, PORT, context=context)
        line.request(method, f"/api/v1{path}", body, headers)
        answer = line.getresponse()
        if answer.status != 503:
            return json.load(answer)
        time.sleep(1)
    raise SystemExit(f"{method} {path}: nothing but 503 for a minute")

def log_in():
    body = {"account": ACCOUNT, "password": "mihon-dake-no-aikotoba-2026"}
    if DOOR == "token":
        body["software"] = "schemathesis"
    return send("POST", f"/{DOOR}", json.dumps(body))["token"]

def upload(path, files, token):
    parts = [f'--b\r\nContent-Disposition: form-data; name="files"; filename="{os.path.basename(name)}"\r\n\r\n'.encode()
             + open(name, "rb").read() + b"\r\n" for name in files]
    return send("POST", path, b"".join(parts) + b"--b--\r\n", token, "multipart/form-data; boundary=b")

if DOOR != "public":
    @schemathesis.auth()
    class LogIn:
        def get(self, case, context):
            return log_in()

        def set(self, case, data, context):
            case.headers = case.headers or {}
            case.headers["Authorization"] = f"Bearer {data}"

def seeds():
    """What is there for this caller, by the name of the parameter."""
    found = {"office": "9970000023", "to": "9970000023", "kind": "A3a", "insurer": "999003", "organization": "9970000015"}
    if DOOR == "public":
        return found
    token = log_in()
    def first(path, list_of, key):
        lines = send("GET", path, token=token).get(list_of) or [{}]
        if lines[0].get(key):
            found[key] = lines[0][key]
        return lines[0]
    first("/people", "people", "handle")
    first("/notices", "notices", "notice")
    first("/receipts", "receipts", "receipt")
    first("/inbox", "items", "receipt")
    first("/certificates", "certificates", "serial")
    # A message of its own: another run may have taken back what came before.
    if WHO == "care-manager":
        upload("/slips?to=9970000023", sorted(glob.glob("examples/care-plan/valid/slip/*.CSV")), token)
        refused = upload("/plans", glob.glob("examples/care-plan/bad/wrong-column-count/*.CSV"), token)
        found["receipt"] = (refused.get("result") or {}).get("receipt", "")
    if WHO == "home-help":
        upload("/slips?to=9970000015", glob.glob("examples/care-plan/valid/actuals/*.CSV"), token)
    for side in ("received", "sent"):
        slip = first(f"/slips/{side}", "slips", "slip")
        if slip.get("files"):
            found["file"] = slip["files"][0]["name"]
    missing = {"care-manager": ["handle", "slip", "file", "receipt"], "home-help": ["slip", "file"]}.get(WHO, [])
    assert all(found.get(name) for name in missing), f"nothing to call with: {found}"
    return found

known = {}

def seeded(parameters):
    if parameters and zlib.crc32(str(parameters).encode()) % 2:
        if not known:
            known.update(seeds())
        parameters.update({name: value for name, value in known.items() if name in parameters and value})
    return parameters

@schemathesis.hook
def map_path_parameters(context, path_parameters):
    return seeded(path_parameters)

@schemathesis.hook
def map_query(context, query):
    return seeded(query)
HOOKS
run() { # who door account url, then more options. In the background: what it says is told at the end.
    who=$1 door=$2 account=$3 url=$4
    shift 4
    (
        code=0
        WHO=$who DOOR=$door ACCOUNT=$account CERTIFICATES=$certificates SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$folder \
            "$tools/bin/schemathesis" run openapi/kiban-v1.json --url "$url" --tls-verify "$certificates/ca.crt" "$@" \
            --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
            --phases examples,coverage,fuzzing --max-examples "$examples" --generation-deterministic --seed 1 \
            --request-timeout 60 --rate-limit 100/s > "$folder/$who-$door.txt" 2>&1 || code=$?
        echo "$code" > "$folder/$who-$door.code"
    ) &
    runs="${runs:-} $!"
}
# Two at a time: the platform takes two files at once and asks a third to come back (503).
wait_for_runs() {
    for one in ${runs:-}; do
        wait "$one"
    done
    runs=
}
# Paths of the public port: those that ask for nothing of the caller.
public=$(python3 - <<'PATHS'
import json
paths = json.load(open("openapi/kiban-v1.json"))["paths"]
open_to_all = [path for path, methods in paths.items() if all(one["security"] == [] for one in methods.values())]
print("^(" + "|".join(path.replace(".", r"\.").replace("{", r"\{").replace("}", r"\}") for path in open_to_all) + ")$")
PATHS
)
# The two of the same office go together: a call may end what the other would begin with.
for who in care-manager:session:care_manager1 care-manager:token:care_manager1 home-help:session:care_worker1 \
    city:session:municipal_officer1 operator:session:operator_staff1; do
    case ${runs:-} in *' '*' '*) wait_for_runs ;; esac
    name=${who%%:*} rest=${who#*:}
    run "$name" "${rest%%:*}" "${rest#*:}" https://office.localhost:18443 \
        --request-cert "$certificates/$name.crt" --request-cert-key "$certificates/$name.key" \
        --exclude-path-regex "$public|^/api/v1/opinions.*\$" \
        --exclude-operation-id log_out --exclude-operation-id log_in --exclude-operation-id log_in_program \
        --exclude-operation-id change_password --exclude-operation-id set_up_factor --exclude-operation-id remove_factor --exclude-operation-id add_passkey \
        --exclude-operation-id reset_password --exclude-operation-id close_account --exclude-operation-id switch_account \
        --exclude-operation-id end_account_session --exclude-operation-id answer_factor --exclude-operation-id prove_again --exclude-operation-id revoke_certificate
done
run nobody public nobody https://portal.localhost:19443 --include-path-regex "$public"
wait_for_runs
failed=0
for said in "$folder"/*-*.txt; do
    code=$(cat "${said%.txt}.code")
    echo "== $(basename "$said" .txt): ended with $code"
    if [ "$code" = 0 ]; then
        tail -n 6 "$said"
    else
        cat "$said"
        failed=1
    fi
done
exit $failed
