from pathlib import Path
import pytest
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


def show(path, data, **o):
    from api.batches.detection_schemas import dump_input

    b = path.run(data if isinstance(data, bytes) else data.encode(), **o)
    print("----", data[:70])
    if b.refusal:
        print("REFUSED", b.refusal)
        return
    for n in dump_input(b, "en")["notices"]:
        print("  N", n["code"], n["detail"])
    for r in rows_of(path, b):
        print(
            "  R",
            {
                k: r[k]
                for k in ("price_mad", "read_as", "row_notes", "row_status", "row_error")
                if r[k]
            },
        )



def test_x(path):
    import json
    C=[{"brand":"Seat","model":"Ibiza","year":2014,"km":40000},{"brand":"Dacia","model":"Logan","year":2015,"km":50000}]
    cols={k:{str(i):c[k] for i,c in enumerate(C)} for k in C[0]}
    show(path, json.dumps(cols))
    show(path, json.dumps({k:[c[k] for c in C] for k in C[0]}))
    show(path, json.dumps({"123":C[0],"a124":C[1]}, indent=1))
    show(path, json.dumps({"columns":list(C[0]),"index":[0,1],"data":[list(c.values()) for c in C]}))
    show(path, json.dumps([["Marque","Modèle","Année","km"],*[list(c.values()) for c in C]],ensure_ascii=False))
    show(path, json.dumps([list(c.values()) for c in C]))
    show(path, json.dumps([{"listing":{"id":1,"vehicle":c}} for c in C]))
    show(path, json.dumps({"car":C[0]}))
    show(path, json.dumps(C, ensure_ascii=False).encode("utf-16"))
    show(path, json.dumps(C, ensure_ascii=False).encode("utf-16-be"))
    show(path, json.dumps({"result":{"fields":["brand","model","year","km"],"rows":[["Kia","Rio",2018,5]]}}))
    show(path, json.dumps([["a","b"],["Kia","Rio"]]))
