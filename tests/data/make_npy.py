"""Writes the arrays for tests/data/npy.rs into the working directory. The present files are from numpy 2.4.6.

    cd tests/data && python3 make_npy.py
"""

import numpy as np

rows = np.array([[0, 1, 2], [250, 4, 5]])
for kind in ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "|u1", "<i2", ">u2", "<i8"]:
    name = kind.replace("<", "little_").replace(">", "big_").replace("|", "")
    np.save(f"{name}.npy", rows.astype(kind))
np.save("bool.npy", rows > 3)
np.save("signed.npy", np.array([-128, -1, 127], dtype="i1"))
np.save("fortran.npy", np.asfortranarray(np.arange(24, dtype="<f4").reshape(2, 3, 4)))
for name, shape in [("column", (3, 1)), ("row", (1, 3))]:
    with open(f"fortran_{name}.npy", "wb") as file:
        # numpy.save writes an array of one column in C order, so write the header separately.
        array = np.array([1.5, -2, 1e5], dtype="<f4")
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": True, "shape": shape})
        file.write(array.tobytes())
np.save("scalar.npy", np.float32(1.5))
np.save("text.npy", np.array(["a", "bc"]))
np.save("record.npy", np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f8")]))
with open("version2.npy", "wb") as file:
    np.lib.format.write_array(file, rows.astype("<f4"), version=(2, 0))
np.savez("stored.npz", x=rows.astype("|u1"), y=np.array([1, 0], dtype="<i8"))
np.savez_compressed("deflated.npz", x=np.zeros((64, 8), dtype="<f4"), y=np.arange(64) % 3)
