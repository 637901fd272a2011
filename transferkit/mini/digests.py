"""SHA-256 of the images of each data set, with all splits concatenated.

Drawn data sets depend only on this package. Data sets of photographs also depend on their files, here those of
scikit-image 0.26 and scikit-learn 1.9, and for ``.jpg`` files on the decoder of Pillow.
"""

DIGESTS = {
    "mini/objects": "2eea7413dcdca41d059e293b3c508683f210ffab6c434d6842502d4c429d0d22",
    "mini/leaves": "ae4f9c05c78bc6dd98b40d0bc412cabbf431a5fb2486f79c8ff09ec21a36b24c",
    "mini/photos": "5b02f48a016e10f269e66df1166c769e734256e7074556b90747646342827fed",
    "mini/landuse": "361a89199a96528c3e4438d0811a0007ddd16b76f404c747c505874cc9107a0b",
    "mini/terrain": "791cb5bef50b2951ac57744610050093bef9f6deb04ad195b81b11e73374a44a",
    "mini/digits": "6a3d96103d3696b3264a552aa53ff82e4913c9f2574b883c27b1367ff897a306",
    "mini/glyphs": "7e929c90b4f5711f83d4a121723f86c6ebab05badf14f2d79da744b36fc1498f",
    "mini/cells": "a79d03c8420c4fcde3fb1316ed79a8ae12608ac1ae1f9f5b846fee60e084b7b8",
    "mini/tissue": "631614e18b31231cf0ada82fe628635e7bbf627b0a275deea1c33cd0324a3f67",
    "mini/cartoons": "5e518c774c42fcfe8bfdd28c097c40d5d7fc504c74c9df7ed26d52548258c382",
    "mini/sketches": "683ca6979b70b681fe885413df4d66ea412c892a703841684978577f3b56a726",
    "mini/materials": "0e26494805d651fbe68db62c5f51b8d3d4e5a7cfc4ca15e50381626adb474865",
    "mini/patterns": "ea58ddd67e3a1b80ba1d4092908b8d6e2dcd651c3841c22d6b6301f12a51f24f",
}
