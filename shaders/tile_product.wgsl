        // Within a step, once both tiles are stored: adds their product to the rows sum0 to sum3 of the elements from
        // (own_row, own_column) on. Statements and not a function, so that the sums stay in registers.
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            let r = d * TILE + own_row;
            let c = d * TILE + own_column;
            let y = vec4(b_tile[c], b_tile[c + 1u], b_tile[c + 2u], b_tile[c + 3u]);
            sum0 += a_tile[r] * y;
            sum1 += a_tile[r + 1u] * y;
            sum2 += a_tile[r + 2u] * y;
            sum3 += a_tile[r + 3u] * y;
        }
        workgroupBarrier();
