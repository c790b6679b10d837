"""Commands of the documentation that a test machine cannot run, each with its reason.

What can be checked without running them is checked by
`test_a_command_that_is_not_run_names_what_exists`.
"""

STARTS = "starts a second service; tests/integration/test_make_up.py runs it"
TRAINS = "trains for half a minute; tests/unit/model_store runs it"
DOCKER = "needs Docker; tests/integration/test_one_container.py runs the container's command"
NETWORK = "needs the network"
PUBLISHES = "needs the remote repository of the reader"
SUITE = "runs these tests"
TLS = "needs a name and a certificate; the addresses are routes"
CHANGES = "changes the checkout"
BUILDS = "tests/integration/test_client_package.py builds and installs the wheel"
SHELL = "needs zsh; tests/unit/cli/test_shell.py reads what it prints"

NOT_RUN = {
    "make up": STARTS,
    "PORT=8001 FLOWER_PORT=5556 make up": STARTS,
    "PUBLIC_URL=https://prices.example TRUSTED_PROXIES=1 make up": STARTS,
    "CARPRICE_HOME=/tmp/rehearsal MODELS_PATH=/tmp/rehearsal-models PORT=8001 FLOWER_PORT=5556"
    " make up": STARTS,
    "make observe": "starts Prometheus; tests/integration/test_observe.py runs it",
    "make test": SUITE,
    "make check": SUITE,
    "make coverage": SUITE,
    "make client": BUILDS,
    "pip install dist/carprice_client-*.whl": BUILDS,
    "sudo apt install prometheus prometheus-alertmanager prometheus-redis-exporter": NETWORK,
    "git pull": NETWORK,
    "curl -LO https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip": NETWORK,
    ".venv/bin/python -m scripts.check_vulnerabilities --update all.zip": CHANGES,
    "docker build -t carprice .": DOCKER,
    "docker run --name carprice -p 7860:7860 --stop-timeout 45 -v carprice:/home/service"
    " carprice": DOCKER,
    "git switch -c space && cp deploy/space/README.md README.md"
    ' && git commit -am "README of the Space"': CHANGES,
    "git push https://huggingface.co/spaces/NAME/carprice space:main": PUBLISHES,
    "curl -i https://prices.example/readyz": TLS,
    "curl -i https://prices.example/predict -H 'Content-Type: application/json' -d '{}'": TLS,
    'eval "$(carprice completion zsh)"': SHELL,
    "carprice market calibrate 2025.csv 2026.csv --new-prices new-cars.csv"
    " -o data/market/reference_market.json": CHANGES,
    "carprice train --data my-listings.csv": TRAINS,
    "carprice train --data my-listings-of-2023.csv --price-level 2025-05": TRAINS,
    "carprice train --data 2025.xlsx --data 2026/": TRAINS,
    ".venv/bin/carprice train --data listings.csv": TRAINS,
    ".venv/bin/carprice retrain --data listings/ --if-better --dry-run": TRAINS,
    ".venv/bin/carprice retrain --data listings/ --if-better": TRAINS,
    ".venv/bin/carprice retrain --data listings/": TRAINS,
}

RUN_ELSEWHERE = {
    ("README.md", "console"): "tests/integration/test_readme.py",
    ("docs/quick-start.md", "console"): "tests/integration/test_readme.py",
    ("docs/audit.md", "console"): "tests/unit/cli/audit_query/test_guide.py",
    ("docs/client.md", "python"): "tests/integration/test_client_package.py",
}
"""Blocks that another test runs, by page and language."""
