//! Lengths of published traces as quantile tables.
//!
//! Each table holds the quantiles of the prompt lengths on [`GRID`], and those of the output lengths
//! for the third of the requests with the shortest prompts, the middle third and the longest third,
//! which keeps most of the dependence between the two. A draw lies on the straight line between two
//! grid points. Only these figures are taken from the traces; each table names its source.

/// Probabilities at which every column of a table is given. Denser towards the ends, where the
/// tails carry much of the mean.
pub(crate) const GRID: [f64; 30] = [
    0.0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6,
    0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0,
];

/// One column: quantiles on [`GRID`], tokens.
pub(crate) type Column = [u16; GRID.len()];

/// Lengths of one published trace.
#[derive(Debug)]
pub(crate) struct TableData {
    /// Prompt lengths.
    pub(crate) prompt: Column,
    /// Output lengths, by third of the prompt lengths, shortest prompts first.
    pub(crate) output_by_prompt_third: [Column; 3],
}

/// ShareGPT conversations, at most 8192 tokens (Llama-2 tokenizer): 30,731 pairs published with
/// project-etalon/etalon (Apache-2.0).
pub(crate) static CHAT: TableData = TableData {
    prompt: [
        1, 9, 12, 18, 29, 74, 180, 382, 580, 777, 973, 1203, 1457, 1730, 2060, 2401, 2799, 3235,
        3734, 4278, 4918, 5696, 6104, 6563, 6950, 7164, 7434, 7622, 7854, 8141,
    ],
    output_by_prompt_third: [
        [
            2, 3, 4, 17, 33, 60, 88, 123, 175, 227, 282, 325, 360, 397, 433, 474, 518, 564, 608,
            659, 729, 815, 858, 906, 947, 964, 994, 1009, 1021, 1024,
        ],
        [
            2, 3, 9, 28, 52, 103, 156, 203, 247, 287, 325, 356, 388, 422, 459, 497, 537, 583, 631,
            689, 754, 832, 876, 919, 956, 977, 999, 1008, 1022, 1024,
        ],
        [
            2, 3, 7, 30, 56, 111, 163, 209, 251, 289, 321, 357, 390, 425, 466, 504, 545, 596, 647,
            703, 779, 854, 891, 935, 964, 982, 1000, 1011, 1021, 1024,
        ],
    ],
};

/// arXiv papers and their abstracts, at most 4096 tokens (Llama-2 tokenizer): 28,257 pairs
/// published with project-etalon/etalon (Apache-2.0).
pub(crate) static SUMMARISATION: TableData = TableData {
    prompt: [
        1, 31, 73, 331, 749, 1242, 1564, 1802, 1986, 2150, 2308, 2453, 2596, 2730, 2861, 2996,
        3127, 3249, 3370, 3490, 3597, 3702, 3759, 3813, 3863, 3892, 3933, 3963, 4012, 4054,
    ],
    output_by_prompt_third: [
        [
            5, 28, 35, 45, 58, 76, 89, 102, 114, 125, 137, 148, 160, 174, 189, 205, 225, 252, 290,
            353, 547, 1962, 2507, 2918, 3271, 3473, 3698, 3795, 3990, 4056,
        ],
        [
            11, 31, 37, 47, 60, 78, 92, 103, 113, 124, 134, 144, 155, 165, 177, 189, 202, 215, 233,
            255, 283, 326, 359, 404, 484, 579, 748, 881, 1195, 1753,
        ],
        [
            12, 30, 37, 50, 64, 82, 96, 107, 117, 126, 134, 144, 153, 163, 173, 186, 198, 211, 227,
            245, 268, 300, 324, 355, 396, 427, 481, 532, 738, 837,
        ],
    ],
};

/// Chapters of the Bilingual Web Books corpus and their translations (Llama-2 tokenizer): 33,768
/// pairs published with project-etalon/etalon (Apache-2.0).
pub(crate) static LONG_FORM: TableData = TableData {
    prompt: [
        5, 303, 405, 554, 682, 789, 844, 883, 915, 943, 968, 992, 1015, 1037, 1059, 1084, 1111,
        1141, 1178, 1231, 1326, 1453, 1518, 1584, 1654, 1708, 1800, 1896, 2176, 3504,
    ],
    output_by_prompt_third: [
        [
            6, 69, 300, 534, 698, 904, 1036, 1122, 1180, 1229, 1269, 1301, 1331, 1360, 1387, 1416,
            1445, 1473, 1500, 1532, 1566, 1608, 1632, 1666, 1706, 1736, 1778, 1829, 2039, 2513,
        ],
        [
            118, 1107, 1187, 1277, 1343, 1405, 1445, 1478, 1505, 1527, 1548, 1567, 1585, 1604,
            1621, 1639, 1656, 1674, 1691, 1711, 1735, 1766, 1787, 1818, 1857, 1885, 1964, 2038,
            2320, 2591,
        ],
        [
            132, 595, 1225, 1431, 1514, 1587, 1634, 1670, 1701, 1732, 1761, 1794, 1829, 1874, 1935,
            2007, 2078, 2147, 2208, 2275, 2341, 2402, 2444, 2488, 2532, 2566, 2611, 2659, 2760,
            2858,
        ],
    ],
};

/// Azure's code completion service, November 2023: 8,819 requests of Azure/AzurePublicDataset
/// (CC-BY-4.0; Patel et al., "Splitwise", ISCA 2024).
pub(crate) static CODE: TableData = TableData {
    prompt: [
        3, 12, 17, 44, 75, 147, 232, 386, 578, 770, 939, 1075, 1261, 1469, 1690, 1909, 2164, 2433,
        2744, 3192, 3920, 5188, 6097, 7303, 7435, 7436, 7436, 7436, 7437, 7437,
    ],
    output_by_prompt_third: [
        [
            6, 6, 6, 6, 6, 7, 8, 9, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 24, 30, 40, 57, 70, 91,
            127, 174, 249, 309, 777, 1899,
        ],
        [
            6, 6, 6, 6, 6, 7, 7, 8, 9, 9, 10, 11, 12, 13, 14, 15, 17, 20, 23, 28, 38, 54, 67, 85,
            123, 160, 237, 309, 822, 871,
        ],
        [
            6, 6, 6, 6, 6, 7, 7, 8, 9, 9, 10, 11, 12, 13, 14, 15, 17, 20, 24, 29, 38, 55, 68, 94,
            132, 175, 288, 480, 851, 940,
        ],
    ],
};
