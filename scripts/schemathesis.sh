#!/bin/sh
# Runs schemathesis (https://schemathesis.readthedocs.io) from openapi/kiban-v1.json against a real server with invented
# people: no answer may be a fault of the platform, and each must be described.
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
cargo build --quiet --workspace --bin kiban
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
# Every name under .localhost is this machine, whatever its resolver says. Sessions that a call has ended begin again.
cat > "$folder/hooks.py" <<'HOOKS'
import json, os, socket, ssl, zlib, http.client
import schemathesis

real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: real("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)
HOST, PORT = "office.localhost", 18443
CERTIFICATES, WHO, ACCOUNT = os.environ["CERTIFICATES"], os.environ["WHO"], os.environ["ACCOUNT"]

def call(method, path, body=None, token=None):
    context = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.crt")
    context.load_cert_chain(f"{CERTIFICATES}/{WHO}.crt", f"{CERTIFICATES}/{WHO}.key")
    line = http.client.HTTPSConnection(HOST, PORT, context=context)
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    line.request(method, f"/api/v1{path}", json.dumps(body) if body else None, headers)
    return json.load(line.getresponse())

@schemathesis.auth()
class LogIn:
    def get(self, case, context):
        password = "mihon-dake-no-aikotoba-2026"
        return call("POST", "/session", {"account": ACCOUNT, "password": password})["token"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"

handles = []

@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Every other call names somebody who is there."""
    if path_parameters and "handle" in path_parameters:
        if not handles and WHO != "operator":
            token = LogIn().get(None, None)
            people = call("GET", "/people", token=token).get("people", [])
            handles.extend(line["handle"] for line in people)
        if handles and zlib.crc32(str(path_parameters).encode()) % 2:
            path_parameters["handle"] = handles[0]
    return path_parameters
HOOKS
failed=0
for who in care-manager:care_manager1 city:municipal_officer1 operator:operator_staff1; do
    echo "== ${who%%:*}"
    WHO=${who%%:*} ACCOUNT=${who#*:} CERTIFICATES=$certificates SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$folder \
        "$tools/bin/schemathesis" run openapi/kiban-v1.json --url https://office.localhost:18443 \
        --tls-verify "$certificates/ca.crt" \
        --request-cert "$certificates/${who%%:*}.crt" --request-cert-key "$certificates/${who%%:*}.key" \
        --exclude-path-regex '^/(health|start-dates|api/v1/opinions.*|api/v1/insurers(\.csv)?)$' \
        --exclude-operation-id log_out --exclude-operation-id log_in --exclude-operation-id log_in_program \
        --exclude-operation-id change_password --exclude-operation-id set_up_factor --exclude-operation-id remove_factor \
        --exclude-operation-id reset_password --exclude-operation-id close_account --exclude-operation-id switch_account \
        --exclude-operation-id end_account_session --exclude-operation-id answer_factor --exclude-operation-id prove_again --exclude-operation-id revoke_certificate \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
        --phases examples,coverage,fuzzing --max-examples "$examples" --generation-deterministic --seed 1 \
        --request-timeout 60 --rate-limit 40/s || failed=1
done
exit $failed
